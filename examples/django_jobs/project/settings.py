"""Settings, as few as possible."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("SECRET_KEY", "for development only")
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parents[1] / "shop.sqlite3",
        "TEST": {"NAME": ":memory:"},
    }
}
TASKQ_URL = os.environ.get("TASKQ_URL", "memory://")
