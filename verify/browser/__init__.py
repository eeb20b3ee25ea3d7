"""Chromium as an engine that checks and never serves: graphs run by onnxruntime-web's WebAssembly, as a page does.

chromium   the browser, as a process that ends with this one
exchange   files and messages for its pages, over HTTP on this machine alone
page       the page: built from the web package, so that graphs are opened as an application opens them
session    one graph in a page of its own: a `contract.Session`
"""

BROWSER_ENGINE = "onnxruntime-web"
