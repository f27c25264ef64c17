from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import path

from . import views

urlpatterns = [
    path("", views.home),
    path("books", views.Books.as_view()),
    path("books/<int:pk>", views.BookPage.as_view(), name="book"),
    path("books/<int:pk>/edit", views.Edit.as_view()),
    path("books/<int:pk>/reviews", views.add_review),
    path("authors/<int:pk>", views.AuthorPage.as_view()),
    path("genres", views.genres),
    path("search", views.search),
    path("accounts/login/", LoginView.as_view(next_page="/")),
    path("admin/", admin.site.urls),
]
