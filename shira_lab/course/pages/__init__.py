"""The apps on a page without a kernel: the same pictures, moved in the browser, over data that Python computes.

A site takes four steps. ``build.write_files`` writes scripts, styles and data into one of its folders, once.
``stored.app_of_cell`` reads off a stored cell which app it showed. ``build.app_html`` gives the place of an app, in the
stead of its stored output; and ``build.scripts_html`` names the scripts that the apps of a page need, at its end.
All are classic scripts with relative addresses, so that a page opens from a folder as from a server.
"""
