"""The browser face: one case in one scene on this computer, drawn here and shown in a web page.

Thin, as the desktop module is: what it does to the scene is in `mrml`, what it says is in `presenter`. Only here is
trame-slicer known; the page talks to `Case`, which needs no page.
"""
