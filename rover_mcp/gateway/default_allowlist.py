"""The hosts that the policy `allowlist` lets pass, as data: what each is there for.

A host belongs here if ordinary work in a repository needs it and it serves what is public.
Storage that anyone can write (storage.googleapis.com, *.amazonaws.com) and hosts that are for
uploading (upload.pypi.org) do not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rover_mcp.domain.network_policy import Host, HostPattern


class Entry(NamedTuple):
    """`plain`: GET and HEAD over http on port 80, too. Such indexes are signed."""

    pattern: str
    why: str
    plain: bool = False


DEFAULT: Final = (
    Entry("pypi.org", "Python packages: the index"),
    Entry("files.pythonhosted.org", "Python packages: the files"),
    Entry("bootstrap.pypa.io", "Python packages: pip's installer"),
    Entry("www.python.org", "Python itself, as pyenv builds it"),
    Entry("astral.sh", "uv: its installer"),
    Entry("releases.astral.sh", "uv, and the Pythons that it installs"),
    Entry("download.pytorch.org", "Python packages: PyTorch's own index"),
    Entry("conda.anaconda.org", "conda packages"),
    Entry("repo.anaconda.com", "conda packages"),
    Entry("registry.npmjs.org", "npm packages"),
    Entry("registry.yarnpkg.com", "npm packages, as yarn asks for them"),
    Entry("repo.yarnpkg.com", "yarn itself, as corepack fetches it"),
    Entry("get.pnpm.io", "pnpm: its installer"),
    Entry("bun.sh", "Bun: its installer"),
    Entry("nodejs.org", "Node and its headers, for packages that are compiled"),
    Entry("jsr.io", "JavaScript packages"),
    Entry("npm.jsr.io", "JavaScript packages, as npm asks for them"),
    Entry("deno.land", "Deno: modules and its installer"),
    Entry("dl.deno.land", "Deno itself"),
    Entry("binaries.prisma.sh", "engines that the npm package prisma fetches"),
    Entry("download.cypress.io", "the program that the npm package cypress fetches"),
    Entry("cdn.playwright.dev", "browsers for tests, as playwright fetches them"),
    Entry("index.crates.io", "Rust crates: the index"),
    Entry("static.crates.io", "Rust crates: the files"),
    Entry("crates.io", "Rust crates, as older versions of cargo ask for them"),
    Entry("static.rust-lang.org", "Rust toolchains"),
    Entry("sh.rustup.rs", "Rust toolchains: rustup's installer"),
    Entry("proxy.golang.org", "Go modules"),
    Entry("sum.golang.org", "Go modules: their check sums"),
    Entry("go.dev", "Go toolchains: the list"),
    Entry("dl.google.com", "Go toolchains and Android's packages: the files"),
    Entry("rubygems.org", "Ruby gems"),
    Entry("index.rubygems.org", "Ruby gems: the index"),
    Entry("cache.ruby-lang.org", "Ruby itself, as ruby-build builds it"),
    Entry("repo.maven.apache.org", "Maven packages"),
    Entry("repo1.maven.org", "Maven packages"),
    Entry("maven.google.com", "Android's Maven packages"),
    Entry("repo.clojars.org", "Clojure packages"),
    Entry("plugins.gradle.org", "Gradle plugins"),
    Entry("plugins-artifacts.gradle.org", "Gradle plugins: the files"),
    Entry("services.gradle.org", "Gradle itself"),
    Entry("downloads.gradle.org", "Gradle itself"),
    Entry("repo.packagist.org", "PHP packages"),
    Entry("packagist.org", "PHP packages: the index"),
    Entry("getcomposer.org", "PHP packages: composer itself"),
    Entry("api.nuget.org", ".NET packages"),
    Entry("builds.dotnet.microsoft.com", ".NET toolchains"),
    Entry("repo.hex.pm", "Elixir and Erlang packages"),
    Entry("builds.hex.pm", "Elixir and Erlang packages"),
    Entry("hex.pm", "Elixir and Erlang packages: what mix asks for about them"),
    Entry("pub.dev", "Dart packages"),
    Entry("hackage.haskell.org", "Haskell packages"),
    Entry("downloads.haskell.org", "Haskell toolchains"),
    Entry("cpan.metacpan.org", "Perl modules"),
    Entry("cran.r-project.org", "R packages"),
    Entry("cloud.r-project.org", "R packages"),
    Entry("pkg.julialang.org", "Julia packages"),
    Entry("opam.ocaml.org", "OCaml packages"),
    Entry("deb.debian.org", "Debian packages", plain=True),
    Entry("security.debian.org", "Debian packages: security updates", plain=True),
    Entry("archive.ubuntu.com", "Ubuntu packages", plain=True),
    Entry("*.archive.ubuntu.com", "Ubuntu packages: mirrors by country", plain=True),
    Entry("security.ubuntu.com", "Ubuntu packages: security updates", plain=True),
    Entry("ports.ubuntu.com", "Ubuntu packages for other processors", plain=True),
    Entry("dl-cdn.alpinelinux.org", "Alpine packages", plain=True),
    Entry("dl.fedoraproject.org", "Fedora packages", plain=True),
    Entry("mirrors.fedoraproject.org", "Fedora packages: the list of mirrors", plain=True),
    Entry("github.com", "git host"),
    Entry("codeload.github.com", "git host: archives of a revision"),
    Entry("raw.githubusercontent.com", "git host: single files"),
    Entry("objects.githubusercontent.com", "git host: files of releases"),
    Entry("release-assets.githubusercontent.com", "git host: files of releases"),
    Entry("gitlab.com", "git host"),
)

PROVIDER_HOSTS: Final = (
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
)
"""Reached through the gateway's own paths, which hold the credential and count what is used."""

_PATTERNS: Final = [(HostPattern.parse(entry.pattern), entry) for entry in DEFAULT]


def default_entry(host: Host) -> Entry | None:
    """The entry that names the host."""
    return next((entry for pattern, entry in _PATTERNS if pattern.names(host)), None)


def as_markdown() -> str:
    """The table in docs/network.md."""
    rows = [f"| `{e.pattern}` | {e.why} | {'443, 80' if e.plain else '443'} |" for e in DEFAULT]
    return "\n".join(["| host | for | ports |", "|---|---|---|", *rows])
