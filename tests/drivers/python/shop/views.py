from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import Avg, Count, Q
from django.forms import ModelForm
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST
from django.views.generic import DetailView, ListView, UpdateView

from .models import Author, Book, Genre, Review


class ReviewForm(ModelForm):
    class Meta:
        model = Review
        fields = ["name", "stars", "text"]


def home(request):
    visits = request.session.get("visits", 0)
    request.session["visits"] = visits + 1
    latest = Review.objects.filter(created__lte=timezone.now()).select_related("book")[:5]
    return render(request, "shop/home.html", {
        "books": Book.objects.count(),
        "in_stock": Book.objects.filter(in_stock=True).count(),
        "authors": Author.objects.count(),
        "visits": visits,
        "latest": latest,
    })


class Books(ListView):
    model = Book
    paginate_by = 20

    def get_queryset(self):
        books = Book.objects.select_related("author").prefetch_related("genres")
        if genre := self.request.GET.get("genre"):
            books = books.filter(genres__id=genre)
        return books


class BookPage(DetailView):
    queryset = Book.objects.select_related("author").prefetch_related("genres")

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        reviews = self.object.reviews.all()
        context["reviews"] = reviews[:10]
        context["stars"] = reviews.aggregate(mean=Avg("stars"), count=Count("id"))
        context["others"] = self.object.author.books.exclude(pk=self.object.pk)[:5]
        context["form"] = ReviewForm()
        return context


class AuthorPage(DetailView):
    queryset = Author.objects.prefetch_related("books__genres")


class Edit(LoginRequiredMixin, UpdateView):
    model = Book
    fields = ["price", "in_stock"]


def search(request):
    words = request.GET.get("q", "")
    found = Book.objects.filter(Q(title__icontains=words) | Q(author__name__icontains=words))
    found = found.select_related("author").distinct()
    if request.GET.get("recent"):
        found = found.filter(published__year__gte=2000)
    return render(request, "shop/search.html", {"words": words, "found": found[:20], "count": found.count()})


def genres(request):
    counted = Genre.objects.annotate(books_count=Count("books"), mean_price=Avg("books__price"))
    return render(request, "shop/genres.html", {"genres": counted})


@require_POST
def add_review(request, pk):
    book = get_object_or_404(Book, pk=pk)
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return render(request, "shop/refused.html", {"form": form}, status=400)
    form.instance.book = book
    form.save()
    return redirect(book)
