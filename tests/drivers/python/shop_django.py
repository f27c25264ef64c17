"""The bookshop in Django: `shop_django.py setup`, then `shop_django.py play VISITS`.

SHOP_VARIANT: `autocommit` as tutorials have it, `atomic` with ATOMIC_REQUESTS, `binding` with parameters bound
by the server, `fresh` with a new connection for each request (the default of CONN_MAX_AGE), `cookies` with
sessions that are not in the database.
"""
import io
import os
import re
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from wsgiref.util import setup_testing_defaults

import django
from django.conf import settings

VARIANT = os.environ.get("SHOP_VARIANT", "autocommit")
settings.configure(
    SECRET_KEY="not a secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="shop.urls",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "shop",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]},
    }],
    # What a password costs is not what is looked at here.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SESSION_ENGINE="django.contrib.sessions.backends." + ("signed_cookies" if VARIANT == "cookies" else "db"),
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LANGUAGE_CODE="en-us",
    TIME_ZONE="UTC",
    USE_TZ=True,
    STATIC_URL="static/",
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "CONN_MAX_AGE": 0 if VARIANT == "fresh" else 600,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": VARIANT == "atomic",
        "OPTIONS": {"server_side_binding": VARIANT == "binding"},
    }},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402

from visits import play  # noqa: E402

STAFF = 4


def setup():
    call_command("migrate", run_syncdb=True, verbosity=0)
    for n in range(STAFF):
        User.objects.create_superuser(f"staff{n}", password=f"secret{n}")
    with connection.cursor() as cursor:
        cursor.execute((Path(__file__).parent.parent / "shop.sql").read_text().replace("%", "%%"), [])


class Browser:
    """One visitor's cookies, and the application called as a WSGI server would."""

    def __init__(self):
        self.cookies = {}

    def fetch(self, visit):
        url = urlsplit(visit["path"])
        environ = {"REQUEST_METHOD": visit["method"], "PATH_INFO": url.path, "QUERY_STRING": url.query}
        environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if visit["method"] == "POST":
            form = visit["form"] | {"csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
            body = urlencode(form).encode()
            environ |= {"CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": str(len(body))}
            environ["wsgi.input"] = io.BytesIO(body)
        setup_testing_defaults(environ)
        said = {}

        def start(status, headers):
            said["status"] = int(status.split()[0])
            for name, value in headers:
                if name == "Set-Cookie":
                    self.cookies |= {k: morsel.value for k, morsel in SimpleCookie(value).items()}

        response = application(environ, start)
        content = b"".join(response).decode()
        response.close()
        return said["status"], re.sub(r'(csrfmiddlewaretoken" value=")[^"]*', r"\1", content)


if sys.argv[1] == "setup":
    setup()
else:
    application = get_wsgi_application()
    browsers = {}
    play(lambda visit: browsers.setdefault(visit["visitor"], Browser()).fetch(visit))
