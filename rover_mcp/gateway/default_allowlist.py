"""The hosts that the policy `allowlist` lets pass, as data: what each is there for.

A host belongs here if ordinary work in a repository needs it and it serves what is public.
Storage that anyone can write (storage.googleapis.com, *.amazonaws.com) and hosts that are for
uploading (upload.pypi.org) do not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rover_mcp.domain.network_policy import Host, HostPattern


class AllowlistEntry(NamedTuple):
    """`plain`: GET and HEAD over http on port 80, too. Such indexes are signed."""

    pattern: str
    why: str
    plain: bool = False


DEFAULT: Final = (
    AllowlistEntry("pypi.org", "Python packages: the index"),
    AllowlistEntry("files.pythonhosted.org", "Python packages: the files"),
    AllowlistEntry("bootstrap.pypa.io", "Python packages: pip's installer"),
    AllowlistEntry("www.python.org", "Python itself, as pyenv builds it"),
    AllowlistEntry("astral.sh", "uv: its installer"),
    AllowlistEntry("releases.astral.sh", "uv, and the Pythons that it installs"),
    AllowlistEntry("download.pytorch.org", "Python packages: PyTorch's own index"),
    AllowlistEntry("conda.anaconda.org", "conda packages"),
    AllowlistEntry("repo.anaconda.com", "conda packages"),
    AllowlistEntry("registry.npmjs.org", "npm packages"),
    AllowlistEntry("registry.yarnpkg.com", "npm packages, as yarn asks for them"),
    AllowlistEntry("repo.yarnpkg.com", "yarn itself, as corepack fetches it"),
    AllowlistEntry("get.pnpm.io", "pnpm: its installer"),
    AllowlistEntry("bun.sh", "Bun: its installer"),
    AllowlistEntry("nodejs.org", "Node and its headers, for packages that are compiled"),
    AllowlistEntry("jsr.io", "JavaScript packages"),
    AllowlistEntry("npm.jsr.io", "JavaScript packages, as npm asks for them"),
    AllowlistEntry("deno.land", "Deno: modules and its installer"),
    AllowlistEntry("dl.deno.land", "Deno itself"),
    AllowlistEntry("binaries.prisma.sh", "engines that the npm package prisma fetches"),
    AllowlistEntry("download.cypress.io", "the program that the npm package cypress fetches"),
    AllowlistEntry("cdn.playwright.dev", "browsers for tests, as playwright fetches them"),
    AllowlistEntry("index.crates.io", "Rust crates: the index"),
    AllowlistEntry("static.crates.io", "Rust crates: the files"),
    AllowlistEntry("crates.io", "Rust crates, as older versions of cargo ask for them"),
    AllowlistEntry("static.rust-lang.org", "Rust toolchains"),
    AllowlistEntry("sh.rustup.rs", "Rust toolchains: rustup's installer"),
    AllowlistEntry("proxy.golang.org", "Go modules"),
    AllowlistEntry("sum.golang.org", "Go modules: their check sums"),
    AllowlistEntry("go.dev", "Go toolchains: the list"),
    AllowlistEntry("dl.google.com", "Go toolchains and Android's packages: the files"),
    AllowlistEntry("rubygems.org", "Ruby gems"),
    AllowlistEntry("index.rubygems.org", "Ruby gems: the index"),
    AllowlistEntry("cache.ruby-lang.org", "Ruby itself, as ruby-build builds it"),
    AllowlistEntry("repo.maven.apache.org", "Maven packages"),
    AllowlistEntry("repo1.maven.org", "Maven packages"),
    AllowlistEntry("maven.google.com", "Android's Maven packages"),
    AllowlistEntry("repo.clojars.org", "Clojure packages"),
    AllowlistEntry("plugins.gradle.org", "Gradle plugins"),
    AllowlistEntry("plugins-artifacts.gradle.org", "Gradle plugins: the files"),
    AllowlistEntry("services.gradle.org", "Gradle itself"),
    AllowlistEntry("downloads.gradle.org", "Gradle itself"),
    AllowlistEntry("repo.packagist.org", "PHP packages"),
    AllowlistEntry("packagist.org", "PHP packages: the index"),
    AllowlistEntry("getcomposer.org", "PHP packages: composer itself"),
    AllowlistEntry("api.nuget.org", ".NET packages"),
    AllowlistEntry("builds.dotnet.microsoft.com", ".NET toolchains"),
    AllowlistEntry("repo.hex.pm", "Elixir and Erlang packages"),
    AllowlistEntry("builds.hex.pm", "Elixir and Erlang packages"),
    AllowlistEntry("hex.pm", "Elixir and Erlang packages: what mix asks for about them"),
    AllowlistEntry("pub.dev", "Dart packages"),
    AllowlistEntry("hackage.haskell.org", "Haskell packages"),
    AllowlistEntry("downloads.haskell.org", "Haskell toolchains"),
    AllowlistEntry("cpan.metacpan.org", "Perl modules"),
    AllowlistEntry("cran.r-project.org", "R packages"),
    AllowlistEntry("cloud.r-project.org", "R packages"),
    AllowlistEntry("pkg.julialang.org", "Julia packages"),
    AllowlistEntry("opam.ocaml.org", "OCaml packages"),
    AllowlistEntry("deb.debian.org", "Debian packages", plain=True),
    AllowlistEntry("security.debian.org", "Debian packages: security updates", plain=True),
    AllowlistEntry("archive.ubuntu.com", "Ubuntu packages", plain=True),
    AllowlistEntry("*.archive.ubuntu.com", "Ubuntu packages: mirrors by country", plain=True),
    AllowlistEntry("security.ubuntu.com", "Ubuntu packages: security updates", plain=True),
    AllowlistEntry("ports.ubuntu.com", "Ubuntu packages for other processors", plain=True),
    AllowlistEntry("dl-cdn.alpinelinux.org", "Alpine packages", plain=True),
    AllowlistEntry("dl.fedoraproject.org", "Fedora packages", plain=True),
    AllowlistEntry("mirrors.fedoraproject.org", "Fedora packages: the list of mirrors", plain=True),
    AllowlistEntry("github.com", "git host"),
    AllowlistEntry("codeload.github.com", "git host: archives of a revision"),
    AllowlistEntry("raw.githubusercontent.com", "git host: single files"),
    AllowlistEntry("objects.githubusercontent.com", "git host: files of releases"),
    AllowlistEntry("release-assets.githubusercontent.com", "git host: files of releases"),
    AllowlistEntry("gitlab.com", "git host"),
)

PROVIDER_HOSTS: Final = (
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
)
"""Reached through the gateway's own paths, which hold the credential and count what is used."""

_PATTERNS: Final = [(HostPattern.parse(entry.pattern), entry) for entry in DEFAULT]


def default_entry(host: Host) -> AllowlistEntry | None:
    """The entry that names the host."""
    return next((entry for pattern, entry in _PATTERNS if pattern.names(host)), None)


def as_markdown() -> str:
    """The table in docs/network.md."""
    rows = [f"| `{e.pattern}` | {e.why} | {'443, 80' if e.plain else '443'} |" for e in DEFAULT]
    return "\n".join(["| host | for | ports |", "|---|---|---|", *rows])
