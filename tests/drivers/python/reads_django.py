"""What Django's ORM makes of the usual kinds of reads: asked twice, each must come from memory."""
import os
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.postgres", "shop"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    TIME_ZONE="Europe/Berlin",
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "OPTIONS": {"server_side_binding": os.environ.get("SHOP_VARIANT") == "binding"},
    }},
)
django.setup()

from django.contrib.postgres.aggregates import ArrayAgg, JSONBAgg, StringAgg  # noqa: E402
from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import (  # noqa: E402
    Avg, Case, CharField, Count, Exists, F, Max, Min, OuterRef, Prefetch, Q, StdDev, Subquery, Sum, Value, When, Window,
)
from django.db.models.functions import (  # noqa: E402
    Abs, Cast, Ceil, Coalesce, Concat, Extract, ExtractYear, Greatest, JSONObject, Left, Length, Lower, MD5, NullIf, Now,
    Random, Rank, Replace, Round, RowNumber, StrIndex, Substr, Trim, TruncDate, TruncMonth, Upper,
)

from shop.models import Author, Book, Genre, Review  # noqa: E402
from told import Told  # noqa: E402

moment = datetime(2024, 3, 1, tzinfo=timezone.utc)
newest = Review.objects.filter(book=OuterRef("pk")).order_by("-created")
B, R = Book.objects, Review.objects

READS = {
    "get": lambda: [B.get(pk=7)],
    "first": lambda: [B.first()],
    "last": lambda: [B.last()],
    "exists": lambda: [B.filter(price__gt=10).exists()],
    "count": lambda: [B.count()],
    "in": lambda: list(B.filter(pk__in=[1, 2, 3])),
    "in a query": lambda: list(B.filter(author__in=Author.objects.filter(born__gt=1980))[:5]),
    "in_bulk": lambda: list(B.in_bulk([4, 5])),
    "range": lambda: list(B.filter(published__range=(date(1960, 1, 1), date(1961, 1, 1)))),
    "between prices": lambda: list(B.filter(price__gte=5, price__lt=6)),
    "exact": lambda: list(B.filter(title__exact="The Last Mill 3")),
    "iexact": lambda: list(B.filter(title__iexact="the last mill 3")),
    "contains": lambda: list(B.filter(title__contains="Mill")[:5]),
    "icontains": lambda: list(B.filter(title__icontains="mill")[:5]),
    "startswith": lambda: list(B.filter(title__startswith="The")[:5]),
    "istartswith": lambda: list(B.filter(title__istartswith="the")[:5]),
    "endswith": lambda: list(B.filter(title__iendswith="7")[:5]),
    "regex": lambda: list(B.filter(title__regex=r"Mill \d+$")[:5]),
    "iregex": lambda: list(B.filter(title__iregex=r"mill \d+$")[:5]),
    "isnull": lambda: list(B.filter(author__name__isnull=False)[:5]),
    "exclude": lambda: list(B.exclude(genres__name="Genre 1")[:5]),
    "or": lambda: list(B.filter(Q(price__lt=6) | ~Q(in_stock=True))[:5]),
    "year": lambda: list(B.filter(published__year=1970)[:5]),
    "month": lambda: list(B.filter(published__month=3)[:5]),
    "week day": lambda: list(R.filter(created__week_day=2)[:5]),
    "iso year": lambda: list(R.filter(created__iso_year=2024)[:5]),
    "date of a moment": lambda: list(R.filter(created__date=date(2024, 2, 3))),
    "year of a moment": lambda: list(R.filter(created__year=2024)[:5]),
    "month of a moment": lambda: list(R.filter(created__month=2)[:5]),
    "hour": lambda: list(R.filter(created__hour=12)[:5]),
    "quarter": lambda: list(R.filter(created__quarter=1)[:5]),
    "moment": lambda: list(R.filter(created__gte=moment)[:5]),
    "moment plus": lambda: list(R.filter(created__gte=F("created") - timedelta(days=1))[:5]),
    "dates": lambda: list(B.dates("published", "year")),
    "datetimes": lambda: list(R.datetimes("created", "month")),
    "TruncMonth": lambda: list(R.annotate(m=TruncMonth("created")).values("m").annotate(n=Count("id")).order_by("m")),
    "TruncDate": lambda: list(R.annotate(d=TruncDate("created")).values_list("d").distinct()[:5]),
    "ExtractYear": lambda: list(B.annotate(y=ExtractYear("published")).values_list("y", flat=True)[:5]),
    "Extract epoch": lambda: list(R.annotate(e=Extract("created", "epoch")).values_list("e")[:5]),
    "values": lambda: list(B.values("id", "author__name")[:5]),
    "distinct": lambda: list(B.values_list("author_id", flat=True).distinct()[:5]),
    "distinct on": lambda: list(B.order_by("author_id", "id").distinct("author_id")[:5]),
    "only": lambda: list(B.only("title")[:5]),
    "defer": lambda: list(B.defer("summary")[:5]),
    "aggregates": lambda: B.aggregate(Avg("price"), Sum("price"), Min("price"), Max("price"), StdDev("price")),
    "filtered aggregate": lambda: B.aggregate(n=Count("id", filter=Q(in_stock=True))),
    "group by": lambda: list(Genre.objects.annotate(n=Count("books")).filter(n__gt=3)),
    "group by values": lambda: list(B.values("author__born").annotate(n=Count("id")).order_by("-n", "author__born")[:5]),
    "Case": lambda: list(B.annotate(c=Case(When(price__lt=10, then=Value("low")), default=Value("high")))[:5]),
    "Coalesce": lambda: list(B.annotate(c=Coalesce("title", Value("-")))[:5]),
    "Concat": lambda: list(B.annotate(c=Concat("title", Value(" by "), "author__name"))[:5]),
    "text functions": lambda: list(B.annotate(
        a=Lower("title"), b=Upper("title"), c=Length("title"), d=Substr("title", 2, 3), e=Left("title", 2),
        f=Trim("title"), g=Replace("title", Value("a"), Value("b")), h=StrIndex("title", Value("e")), i=MD5("title"),
    ).values("a", "b", "c", "d", "e", "f", "g", "h", "i")[:5]),
    "number functions": lambda: list(B.annotate(
        a=Abs("price"), b=Ceil("price"), c=Round("price", 1), d=Greatest("price", Value(Decimal(7))), e=NullIf("price", Value(Decimal(5))),
    ).values("a", "b", "c", "d", "e")[:5]),
    "Cast": lambda: list(B.annotate(c=Cast("price", CharField()))[:5]),
    "F": lambda: list(B.filter(price__gt=F("author__born") / Decimal(100))[:5]),
    "Subquery": lambda: list(B.annotate(s=Subquery(newest.values("stars")[:1]))[:5]),
    "Exists": lambda: list(B.filter(Exists(newest.filter(stars=5)))[:5]),
    "Window": lambda: list(B.annotate(n=Window(RowNumber(), partition_by="author", order_by="price"))[:5]),
    "Rank": lambda: list(B.annotate(n=Window(Rank(), order_by=F("price").desc(nulls_last=True)))[:5]),
    "union": lambda: list(B.filter(pk=1).union(B.filter(pk=2), all=True)),
    "intersection": lambda: list(B.filter(pk__lt=5).intersection(B.filter(pk__gt=3))),
    "select_related": lambda: list(B.select_related("author")[:5]),
    "prefetch": lambda: [list(b.reviews.all()) for b in B.prefetch_related(
        "genres", Prefetch("reviews", queryset=R.filter(stars=5)))[:5]],
    "reverse": lambda: list(Author.objects.filter(books__reviews__stars=5).distinct()[:5]),
    "ArrayAgg": lambda: list(Author.objects.annotate(t=ArrayAgg("books__title", ordering="books__title"))[:5]),
    "StringAgg": lambda: list(Author.objects.annotate(t=StringAgg("books__title", ", ", ordering="books__title"))[:5]),
    "JSONBAgg": lambda: list(Author.objects.annotate(t=JSONBAgg("books__id", ordering="books__id"))[:5]),
    "JSONObject": lambda: list(B.annotate(o=JSONObject(t="title", p="price")).values("o")[:5]),
    "search": lambda: list(B.annotate(s=SearchVector("title", "summary")).filter(s=SearchQuery("river"))[:5]),
    "search in a language": lambda: list(B.annotate(
        r=SearchRank(SearchVector("title", config="english"), SearchQuery("river", config="english"))
    ).order_by("-r", "id")[:5]),
    "raw": lambda: [b.title for b in B.raw("SELECT id, title FROM shop_book WHERE id = %s", [5])],
    "reserved": lambda: list(B.filter(title__contains="100%_\\")[:5]),
}
NOT = {
    "Now": ("volatile", lambda: [B.filter(published__lt=Now()).count()]),
    "order by chance": ("volatile", lambda: [len(B.order_by("?")[:3])]),
    "Random": ("volatile", lambda: [len(B.annotate(r=Random())[:3])]),
}


def locked():
    with transaction.atomic():
        return list(B.select_for_update().filter(pk=1))


connection.ensure_connection()
told = Told(connection.connection)
for label, read in READS.items():
    told.check(label, read)
for label, (reason, read) in NOT.items():
    told.check(label, read, reason)
with transaction.atomic():
    told.check("in a transaction", lambda: [B.get(pk=8)])
sys.exit(told.failures > 0)
