"""The files that programs on the host run or obey without asking, as data: what runs them, their
names, and the page on which its makers say so.

A pattern is a file's name, or a folder with everything in it ("name/"), at any depth; `*` stands
for any part of a name. What runs without anything being asked for comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HandOffRule:
    """`who` runs or obeys files of these names; `source` says where that is described."""

    who: str
    patterns: tuple[str, ...]
    source: str


_SOURCES: Mapping[str, Mapping[str, str]] = {
    "Claude Code": {
        ".claude/ .claude-plugin/": "https://code.claude.com/docs/en/hooks",
        ".mcp.json": "https://code.claude.com/docs/en/mcp",
        "CLAUDE.md CLAUDE.local.md": "https://code.claude.com/docs/en/memory",
    },
    "Cursor": {
        ".cursor/": "https://cursor.com/docs/agent/hooks",
        ".cursorrules": "https://docs.cursor.com/context/rules",
    },
    "VS Code": {
        ".vscode/ *.code-workspace": "https://code.visualstudio.com/docs/editor/workspace-trust",
    },
    "another agent": {
        ".codex/": "https://github.com/openai/codex/blob/main/docs/config.md",
        ".gemini/ GEMINI.md":
            "https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/configuration.md",
        ".qwen/ QWEN.md": "https://github.com/QwenLM/qwen-code",
        ".opencode/ opencode.json opencode.jsonc": "https://opencode.ai/docs/config/",
        ".github/hooks/": "https://docs.github.com/en/copilot/reference/hooks-reference",
        ".copilot/ .github/copilot-instructions.md .github/agents/ .github/instructions/ "
        ".github/prompts/":
            "https://docs.github.com/en/copilot/how-tos/configure-custom-instructions/"
            "add-repository-instructions",
        ".kiro/": "https://kiro.dev/docs/hooks/",
        ".windsurf/ .windsurfrules": "https://docs.windsurf.com/windsurf/cascade/memories",
        ".clinerules .clinerules/ .cline/": "https://docs.cline.bot/customization/cline-rules",
        ".roo/": "https://docs.roocode.com/features/custom-instructions",
        ".continue/": "https://docs.continue.dev/reference",
        ".aider.conf.yml": "https://aider.chat/docs/config/aider_conf.html",
        ".amp/": "https://ampcode.com/manual",
        ".junie/": "https://www.jetbrains.com/help/junie/customize-guidelines.html",
        ".goosehints": "https://block.github.io/goose/docs/guides/using-goosehints/",
        ".agents/ AGENTS.md AGENT.md": "https://agents.md/",
        "mcp.json": "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
    },
    "Rover": {
        ".rover/": "docs/configuration.md",
    },
    "another editor": {
        ".idea/ .fleet/": "https://www.jetbrains.com/help/idea/project-security.html",
        ".zed/": "https://zed.dev/docs/tasks",
        ".exrc .vimrc _vimrc .lvimrc .vim/": "https://vimhelp.org/options.txt.html#%27exrc%27",
        ".nvimrc .nvim.lua": "https://neovim.io/doc/user/options.html#'exrc'",
        ".dir-locals.el":
            "https://www.gnu.org/software/emacs/manual/html_node/emacs/Directory-Variables.html",
        "*.sublime-project": "https://www.sublimetext.com/docs/projects.html",
        ".vs/":
            "https://learn.microsoft.com/visualstudio/ide/"
            "customize-build-and-debug-tasks-in-visual-studio",
        ".project .settings/":
            "https://help.eclipse.org/latest/topic/org.eclipse.platform.doc.isv/reference/misc/"
            "project_description_file.html",
        ".helix/": "https://docs.helix-editor.com/configuration.html",
    },
    "direnv": {
        ".envrc .envrc.* .direnv/": "https://direnv.net/man/direnv.1.html",
    },
    "a tool manager": {
        "mise.toml .mise.toml mise.*.toml .mise.*.toml .mise/ mise/ .config/mise/":
            "https://mise.jdx.dev/configuration.html",
        "mise-tasks/ .mise-tasks/": "https://mise.jdx.dev/tasks/task-discovery.html",
        ".tool-versions .asdfrc": "https://asdf-vm.com/manage/configuration.html",
        "devbox.json": "https://www.jetify.com/docs/devbox/configuration",
        "devenv.nix": "https://devenv.sh/basics/",
        "flake.nix shell.nix default.nix":
            "https://nix.dev/manual/nix/latest/command-ref/new-cli/nix3-flake",
        ".flox/": "https://flox.dev/docs/reference/command-reference/manifest.toml/",
        ".sdkmanrc": "https://sdkman.io/usage/#env-command",
    },
    "what reads .env": {
        ".env .env.*":
            "https://docs.docker.com/compose/how-tos/environment-variables/"
            "variable-interpolation/",
        ".flaskenv":
            "https://flask.palletsprojects.com/en/stable/cli/#environment-variables-from-dotenv",
    },
    "a dev container": {
        ".devcontainer/ .devcontainer.json": "https://containers.dev/implementors/json_reference/",
        ".gitpod.yml .gitpod.Dockerfile":
            "https://www.gitpod.io/docs/classic/user/references/gitpod-yml",
        "Vagrantfile": "https://developer.hashicorp.com/vagrant/docs/vagrantfile",
    },
    "git": {
        ".gitmodules": "https://git-scm.com/docs/gitmodules",
        ".gitattributes": "https://git-scm.com/docs/gitattributes",
        ".lfsconfig": "https://github.com/git-lfs/git-lfs/blob/main/docs/man/git-lfs-config.adoc",
        ".gitconfig": "https://git-scm.com/docs/git-config",
        ".githooks/ .hooks/": "https://git-scm.com/docs/githooks",
    },
    "a hook manager": {
        ".husky/ .huskyrc*": "https://typicode.github.io/husky/",
        "lefthook.y*ml lefthook.toml lefthook.json* lefthook-local.* .lefthook.* "
        ".lefthook-local.* .lefthook/ .lefthook-local/": "https://lefthook.dev/configuration/",
        ".pre-commit-config.y*ml .pre-commit-hooks.y*ml": "https://pre-commit.com/",
        ".lintstagedrc* lint-staged.config.*": "https://github.com/lint-staged/lint-staged",
        ".overcommit.yml": "https://github.com/sds/overcommit",
        ".simple-git-hooks.*": "https://github.com/toplenboren/simple-git-hooks",
        ".captainhook.json captainhook.json": "https://php.captainhook.info/",
    },
    "CI": {
        ".github/workflows/ .github/actions/ action.yml action.yaml":
            "https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax",
        ".gitlab-ci.yml .gitlab/": "https://docs.gitlab.com/ci/yaml/",
        ".circleci/": "https://circleci.com/docs/reference/configuration-reference/",
        ".buildkite/": "https://buildkite.com/docs/pipelines/configure",
        "Jenkinsfile*": "https://www.jenkins.io/doc/book/pipeline/jenkinsfile/",
        "azure-pipelines*.y*ml .azure-pipelines/":
            "https://learn.microsoft.com/azure/devops/pipelines/yaml-schema/",
        ".travis.yml": "https://docs.travis-ci.com/user/customizing-the-build/",
        ".drone.y*ml": "https://docs.drone.io/yaml/docker/",
        ".woodpecker.y*ml .woodpecker/": "https://woodpecker-ci.org/docs/usage/workflow-syntax",
        "bitbucket-pipelines.yml":
            "https://support.atlassian.com/bitbucket-cloud/docs/"
            "bitbucket-pipelines-configuration-reference/",
        "appveyor.yml .appveyor.yml": "https://www.appveyor.com/docs/appveyor-yml/",
        "cloudbuild.y*ml": "https://cloud.google.com/build/docs/build-config-file-schema",
        ".teamcity/": "https://www.jetbrains.com/help/teamcity/kotlin-dsl.html",
        ".forgejo/workflows/ .gitea/workflows/":
            "https://forgejo.org/docs/latest/user/actions/reference/",
        "buildspec.yml":
            "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html",
        ".semaphore/": "https://docs.semaphoreci.com/reference/pipeline-yaml",
        "wercker.yml": "https://github.com/wercker/wercker",
        "renovate.json* .renovaterc*": "https://docs.renovatebot.com/configuration-options/",
        "dependabot.y*ml":
            "https://docs.github.com/en/code-security/dependabot/working-with-dependabot/"
            "dependabot-options-reference",
    },
    "pytest": {
        "conftest.py pytest.ini .pytest.ini":
            "https://docs.pytest.org/en/stable/reference/customize.html",
        "tox.ini": "https://tox.wiki/en/latest/config.html",
        "noxfile.py": "https://nox.thea.codes/en/stable/config.html",
    },
    "Python": {
        "sitecustomize.py usercustomize.py *.pth pyvenv.cfg site-packages/":
            "https://docs.python.org/3/library/site.html",
        "setup.py setup.cfg":
            "https://setuptools.pypa.io/en/latest/userguide/declarative_config.html",
        "pyproject.toml": "https://packaging.python.org/en/latest/specifications/pyproject-toml/",
        "hatch_build.py": "https://hatch.pypa.io/latest/plugins/build-hook/custom/",
        ".pdbrc": "https://docs.python.org/3/library/pdb.html",
        "fabfile.py": "https://docs.fabfile.org/en/stable/cli.html",
        "requirements*.txt pip.conf":
            "https://pip.pypa.io/en/stable/reference/requirements-file-format/",
        "Pipfile": "https://pipenv.pypa.io/en/latest/pipfile.html",
        ".python-startup.py": "https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSTARTUP",
        "ipython_config.py": "https://ipython.readthedocs.io/en/stable/config/intro.html",
    },
    "npm and the like": {
        "package.json": "https://docs.npmjs.com/cli/using-npm/scripts",
        ".npmrc": "https://docs.npmjs.com/cli/configuring-npm/npmrc",
        ".yarnrc .yarnrc.yml .yarn/ .pnp.cjs": "https://yarnpkg.com/configuration/yarnrc",
        ".pnpmfile.*cjs pnpm-workspace.yaml": "https://pnpm.io/pnpmfile",
        "bunfig.toml": "https://bun.com/docs/runtime/bunfig",
        "deno.json*": "https://docs.deno.com/runtime/fundamentals/configuration/",
        "node_modules/": "https://nodejs.org/api/modules.html#loading-from-node_modules-folders",
        "binding.gyp": "https://docs.npmjs.com/cli/using-npm/scripts#npm-install",
    },
    "JavaScript tools": {
        "*.config.js *.config.cjs *.config.mjs *.config.ts *.config.cts *.config.mts":
            "https://vite.dev/config/",
        ".eslintrc*": "https://eslint.org/docs/latest/use/configure/configuration-files-deprecated",
        ".prettierrc*": "https://prettier.io/docs/configuration",
        ".babelrc*": "https://babeljs.io/docs/config-files",
        ".stylelintrc*": "https://stylelint.io/user-guide/configure",
        ".swcrc": "https://swc.rs/docs/configuration/swcrc",
        "gulpfile.*": "https://gulpjs.com/docs/en/getting-started/javascript-and-gulpfiles/",
        "Gruntfile.*": "https://gruntjs.com/sample-gruntfile",
        ".mocharc*": "https://mochajs.org/#configuring-mocha-nodejs",
        "*.conf.js": "https://karma-runner.github.io/latest/config/configuration-file.html",
        "nodemon.json": "https://github.com/remy/nodemon#config-files",
        ".pluginrc*": "https://github.com/oclif/core",
    },
    "a linter": {
        ".pylintrc pylintrc":
            "https://pylint.readthedocs.io/en/stable/user_guide/configuration/all-options.html",
        "mypy.ini .mypy.ini": "https://mypy.readthedocs.io/en/stable/extending_mypy.html",
        ".flake8": "https://flake8.pycqa.org/en/latest/user/configuration.html",
        ".coveragerc": "https://coverage.readthedocs.io/en/latest/config.html",
        ".rubocop.y*ml": "https://docs.rubocop.org/rubocop/configuration.html",
        ".rspec":
            "https://rspec.info/features/3-13/rspec-core/configuration/read-options-from-file/",
    },
    "make and the like": {
        "Makefile GNUmakefile Makefile.* *.mk":
            "https://www.gnu.org/software/make/manual/html_node/Makefile-Names.html",
        "justfile .justfile *.just": "https://just.systems/man/en/",
        "Taskfile.y*ml Taskfile.dist.y*ml": "https://taskfile.dev/usage/",
        "Rakefile *.rake": "https://ruby.github.io/rake/doc/rakefile_rdoc.html",
        "Earthfile": "https://docs.earthly.dev/docs/earthfile",
        "Tiltfile": "https://docs.tilt.dev/api.html",
        "SConstruct SConscript": "https://scons.org/doc/production/HTML/scons-user.html",
        "configure configure.ac bootstrap.sh autogen.sh":
            "https://www.gnu.org/software/autoconf/manual/autoconf.html",
    },
    "another build tool": {
        "build.rs": "https://doc.rust-lang.org/cargo/reference/build-scripts.html",
        ".cargo/ Cargo.toml": "https://doc.rust-lang.org/cargo/reference/config.html",
        "rust-toolchain*": "https://rust-lang.github.io/rustup/overrides.html",
        "build.gradle* settings.gradle* init.gradle* gradle.properties gradle/ gradlew*":
            "https://docs.gradle.org/current/userguide/build_environment.html",
        "pom.xml .mvn/ mvnw*": "https://maven.apache.org/configure.html",
        "build.xml": "https://ant.apache.org/manual/using.html",
        "build.sbt": "https://www.scala-sbt.org/1.x/docs/Basic-Def.html",
        "build.zig": "https://ziglang.org/learn/build-system/",
        "CMakeLists.txt CMakePresets.json *.cmake":
            "https://cmake.org/cmake/help/latest/manual/cmake-language.7.html",
        "meson.build": "https://mesonbuild.com/Syntax.html",
        "wscript": "https://waf.io/book/",
        "Gemfile *.gemspec": "https://bundler.io/man/gemfile.5.html",
        "mix.exs": "https://hexdocs.pm/mix/Mix.html",
        "composer.json": "https://getcomposer.org/doc/articles/scripts.md",
        "Package.swift":
            "https://docs.swift.org/package-manager/PackageDescription/PackageDescription.html",
        "Podfile": "https://guides.cocoapods.org/syntax/podfile.html",
        "MODULE.bazel WORKSPACE* .bazelrc BUILD BUILD.bazel *.bzl":
            "https://bazel.build/run/bazelrc",
        "*.csproj *.vbproj *.fsproj *.sln Directory.Build.* *.targets *.props":
            "https://learn.microsoft.com/visualstudio/msbuild/customize-by-directory",
        "nuget.config": "https://learn.microsoft.com/nuget/reference/nuget-config-file",
        "global.json": "https://learn.microsoft.com/dotnet/core/tools/global-json",
        "go.work": "https://go.dev/ref/mod#workspaces",
        ".goreleaser.y*ml": "https://goreleaser.com/customization/hooks/",
        "buf.gen.yaml": "https://buf.build/docs/configuration/v2/buf-gen-yaml/",
        "dune": "https://dune.readthedocs.io/en/stable/reference/dune/rule.html",
        "stack.yaml": "https://docs.haskellstack.org/en/stable/configure/yaml/",
        "rebar.config": "https://rebar3.org/docs/configuration/configuration/",
    },
    "docker": {
        "Dockerfile Dockerfile.* *.Dockerfile Containerfile*":
            "https://docs.docker.com/reference/dockerfile/",
        "compose.y*ml compose.*.y*ml docker-compose*.y*ml":
            "https://docs.docker.com/reference/compose-file/",
        "docker-bake.*": "https://docs.docker.com/build/bake/reference/",
        "skaffold.yaml": "https://skaffold.dev/docs/references/yaml/",
    },
    "an infrastructure tool": {
        "*.tf": "https://developer.hashicorp.com/terraform/language/provisioners",
        "cdk.json": "https://docs.aws.amazon.com/cdk/v2/guide/cli.html",
        "ansible.cfg": "https://docs.ansible.com/ansible/latest/reference_appendices/config.html",
        "Pulumi.yaml": "https://www.pulumi.com/docs/iac/concepts/projects/project-file/",
    },
    "the desktop": {
        "*.desktop .directory": "https://specifications.freedesktop.org/desktop-entry-spec/latest/",
        "autorun.inf": "https://learn.microsoft.com/windows/win32/shell/autorun-cmds",
        "desktop.ini":
            "https://learn.microsoft.com/windows/win32/shell/"
            "how-to-customize-folders-with-desktop-ini",
        "*.lnk *.url": "https://learn.microsoft.com/windows/win32/shell/links",
    },
    "a debugger or console": {
        ".gdbinit":
            "https://sourceware.org/gdb/current/onlinedocs/gdb.html/"
            "Init-File-in-the-Current-Directory.html",
        ".lldbinit": "https://lldb.llvm.org/man/lldb.html#configuration-files",
        ".Rprofile .Renviron":
            "https://stat.ethz.ch/R-manual/R-devel/library/base/html/Startup.html",
        ".irbrc": "https://docs.ruby-lang.org/en/master/IRB.html",
        ".ghci":
            "https://downloads.haskell.org/ghc/latest/docs/users_guide/ghci.html#the-ghci-files",
        ".iex.exs": "https://hexdocs.pm/iex/IEx.html#module-the-iex-exs-file",
    },
    "a shell": {
        ".bashrc .bash_profile .profile":
            "https://www.gnu.org/software/bash/manual/html_node/Bash-Startup-Files.html",
        ".zshrc .zshenv": "https://zsh.sourceforge.io/Doc/Release/Files.html",
        ".inputrc": "https://tiswww.case.edu/php/chet/readline/readline.html#Readline-Init-File",
        ".netrc":
            "https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html",
    },
}  # fmt: skip
"""By program: names of files, and where it is described that the program runs or obeys them."""

HAND_OFF_RULES: Sequence[HandOffRule] = tuple(
    HandOffRule(who, tuple(names.split()), source)
    for who, sources in _SOURCES.items()
    for names, source in sources.items()
)
"""Every rule, in the order in which files are shown."""
