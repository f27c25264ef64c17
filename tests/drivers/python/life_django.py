"""Django's ORM, with schema editor, atomic blocks, server-side cursors and persistent connections."""
import os
import threading

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[],
    USE_TZ=True,
    TIME_ZONE="Europe/Berlin",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ["PGPASSWORD"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"sslmode": os.environ["PGSSLMODE"], "server_side_binding": True},
        }
    },
)
django.setup()

from django.db import DataError, IntegrityError, OperationalError, connection, models, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402


class Item(models.Model):
    name = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(default=timezone.now)
    data = models.JSONField(default=dict)

    class Meta:
        app_label = "life"
        db_table = "life_django"


def orm():
    Item.objects.create(name="one", data={"a": [1, 2]})
    Item.objects.bulk_create([Item(name=f"item {n}") for n in range(300)])
    assert Item.objects.filter(data__a__0=1).get().name == "one"
    assert Item.objects.filter(name__startswith="item").count() == 300
    assert len(list(Item.objects.all().iterator(chunk_size=50))) == 301
    assert Item.objects.filter(at__date=timezone.localdate()).exists()
    Item.objects.filter(name="one").update(name="two")


def transactions():
    try:
        with transaction.atomic():
            Item.objects.create(name="gone")
            try:
                with transaction.atomic():
                    Item.objects.create(name="two")
            except IntegrityError:
                pass
            assert Item.objects.filter(name="gone").exists()
            raise KeyError
    except KeyError:
        pass
    assert not Item.objects.filter(name="gone").exists()
    with transaction.atomic():
        list(Item.objects.select_for_update().filter(name="two"))


def errors_and_copy():
    with connection.cursor() as cursor:
        try:
            cursor.execute("select 1/0")
            raise SystemExit("no error")
        except DataError:
            pass
        cursor.execute("set statement_timeout = 100")
        try:
            cursor.execute("select pg_sleep(20)")
            raise SystemExit("not cancelled")
        except OperationalError:
            cursor.execute("reset statement_timeout")
        with cursor.copy("copy life_django (name, at, data) from stdin") as out:
            out.write_row(("copied", "2024-01-01", "{}"))
    assert Item.objects.filter(name="copied").exists()


def one_of_many(n, faults):
    try:
        for k in range(20):
            with connection.cursor() as cursor:
                cursor.execute("select %s::text, current_setting('timezone')", [f"{n}-{k}"])
                assert cursor.fetchone() == (f"{n}-{k}", "UTC")
    except BaseException as fault:
        faults.append(fault)
    finally:
        connection.close()


with connection.cursor() as cursor:
    cursor.execute("drop table if exists life_django")
with connection.schema_editor() as editor:
    editor.create_model(Item)
orm()
transactions()
errors_and_copy()
faults = []
threads = [threading.Thread(target=one_of_many, args=(n, faults)) for n in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if faults:
    raise faults[0]
with connection.schema_editor() as editor:
    editor.delete_model(Item)
