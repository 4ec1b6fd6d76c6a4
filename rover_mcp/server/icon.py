"""The server's icon: drawn here, and carried in the answer itself, so that no client has to fetch
anything. The same drawing as plugins/rover/.claude-plugin/icon.png."""

from __future__ import annotations

from urllib.parse import quote

from mcp_types import Icon

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    '<rect width="64" height="64" rx="14" fill="#1f2a44"/>'
    '<path d="M40 22h4v8h-4z" fill="#fff"/>'
    '<rect x="12" y="29" width="40" height="9" rx="3" fill="#fff"/>'
    '<rect x="36" y="13" width="13" height="10" rx="3" fill="#ff9f43"/>'
    '<g fill="#1f2a44" stroke="#fff" stroke-width="3.5">'
    '<circle cx="17" cy="46" r="4.25"/><circle cx="32" cy="46" r="4.25"/>'
    '<circle cx="47" cy="46" r="4.25"/></g>'
    '<circle cx="44.5" cy="18" r="2" fill="#1f2a44"/></svg>'
)
ICON = Icon(
    src="data:image/svg+xml," + quote(SVG, safe="='/:.-"),
    mime_type="image/svg+xml",
    sizes=["any"],
)
