"""The apps on a page without a kernel: the same pictures, moved in the browser, over data that Python computes.

A page takes three steps. :func:`write_files` writes scripts, styles and data into a folder of the site, once.
:func:`app_html` gives the place of one app, which the page shows in the stead of a stored output; :func:`scripts_html`
names the scripts that the apps of a page need, and stands once, at its end. All are classic scripts with relative
addresses, so that a page opens from a folder as from a server. :func:`app_of_cell` reads off a stored cell which app
it showed.
"""

from shira_lab.course.pages.build import APPS, PageApp, app_html, scripts_html, write_files
from shira_lab.course.pages.stored import app_of_cell

__all__ = ["APPS", "PageApp", "app_html", "app_of_cell", "scripts_html", "write_files"]
