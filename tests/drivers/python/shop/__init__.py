"""A bookshop, as a Django tutorial would have it: generic views, an admin site, sessions and users."""
