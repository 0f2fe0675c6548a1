"""Settings of the site. `make docs` builds it from a copy of this folder (tools/build_site.py)."""

from limssr import __version__

project = "limssr"
author = "limssr developers"
release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
# Tutorials are run when the site is built; one that fails is a fault of the site.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
# In the folder of the copied pages, in the order of their names: the gallery shows what pages before it have made.
nb_execution_in_temp = False
nb_execution_timeout = 240
nb_merge_streams = True
html_theme = "furo"
html_title = "limssr"
html_show_sphinx = False
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
# What stands between angle brackets in help texts is no language.
highlight_language = "none"
