from django.contrib import admin

from .models import Author, Book, Genre, Review

admin.site.register([Author, Genre, Review])


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "price", "in_stock"]
    list_filter = ["in_stock", "genres"]
    search_fields = ["title", "author__name"]
    list_select_related = ["author"]
