"""``blockd completion SHELL``: a completion script, made from the parser itself.

The script knows commands, options, the words that options take, and asks blockd for the names of the configured lists. Nothing else runs
while a person types.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from blockd.cli import tree
from blockd.cli.parser import EXIT_DONE, EXIT_USAGE, add_config, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from blockd.cli.parser import Subparsers
    from blockd.cli.tree import Argument, Command

EXAMPLES = """\
examples:
  blockd completion bash > /usr/share/bash-completion/completions/blockd
  blockd completion zsh > /usr/share/zsh/vendor-completions/_blockd
  blockd completion fish > /usr/share/fish/vendor_completions.d/blockd.fish
"""

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for bash, zsh or fish",
        description="Print a script that teaches a shell to complete blockd's commands, options and list names.",
        epilog=EXAMPLES,
    )
    parser.add_argument("shell", nargs="?", choices=SHELLS, help="the shell")
    parser.add_argument("--list-names", action="store_true", help="print the names of the configured lists, as the scripts ask for them")
    add_config(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    if args.list_names:
        return _list_names(args)
    if args.shell is None:
        say(f"blockd completion: name a shell: {', '.join(SHELLS)}. Try 'blockd completion --help'.")
        return EXIT_USAGE
    from blockd.cli.main import parser

    root = tree.read(parser())
    print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](root), end="")
    return EXIT_DONE


def _list_names(args: argparse.Namespace) -> int:
    """Say nothing at all when the configuration can't be read: the person is typing."""
    from blockd.config.load import examine

    config = examine(args.config).config
    for item in config.lists if config else ():
        print(item.name)
    return EXIT_DONE


def _words(command: Command) -> list[str]:
    """Give the fixed words that can stand next: subcommands, words of positionals, options."""
    positional = [word for argument in command.arguments if not argument.flags for word in argument.values]
    return [inner.path[-1] for inner in command.commands] + positional + [flag for argument in command.arguments for flag in argument.flags]


def _takes(command: Command) -> tuple[bool, bool]:
    """Whether its positionals take files, and lists."""
    positional = [argument for argument in command.arguments if not argument.flags]
    return any(a.file for a in positional), any(a.list for a in positional)


# --- bash


def bash(root: Command) -> str:
    """Write the script for bash."""
    commands = list(tree.walk(root))
    return f"""\
# bash completion for blockd, made by: blockd completion bash
_blockd() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path= words= files= lists= i
    local -a config=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in -c | --config) config=(-c "${{COMP_WORDS[i+1]}}") ;; esac
        case "${{path:+$path }}${{COMP_WORDS[i]}}" in
        {" | ".join(shlex.quote(" ".join(c.path)) for c in commands if c.path)}) path="${{path:+$path }}${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$path $prev" in
{_lines(_bash_values(commands))}
    esac
    case $path in
{_lines(_bash_words(commands))}
    esac
    [[ -n $lists && $cur != -* ]] && words+=" $("${{COMP_WORDS[0]}}" completion --list-names "${{config[@]}}" 2>/dev/null)"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    if [[ -n $files && $cur != -* ]]; then
        compopt -o filenames
        mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$cur")
    fi
}}
complete -F _blockd blockd
"""


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _bash_values(commands: list[Command]) -> Iterator[str]:
    """Say what stands behind an option that takes a value."""
    for command in commands:
        for argument in command.arguments:
            if not argument.flags or not argument.metavar:
                continue
            pattern = " | ".join(shlex.quote(f"{' '.join(command.path)} {flag}") for flag in argument.flags)
            if argument.file:
                yield f'{pattern}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;'
            else:
                words = shlex.quote(" ".join(argument.values))
                lists = ' "$("${COMP_WORDS[0]}" completion --list-names "${config[@]}" 2>/dev/null)"' if argument.list else words
                yield f'{pattern}) mapfile -t COMPREPLY < <(compgen -W {lists.strip()} -- "$cur"); return ;;'


def _bash_words(commands: list[Command]) -> Iterator[str]:
    for command in commands:
        files, lists = _takes(command)
        extra = (" files=1" if files else "") + (" lists=1" if lists else "")
        yield f"{shlex.quote(' '.join(command.path))}) words={shlex.quote(' '.join(_words(command)))}{extra} ;;"


# --- zsh


def zsh(root: Command) -> str:
    """Write the script for zsh: one function a command, each of which is what _arguments takes."""
    functions = "\n".join(_zsh_function(command) for command in tree.walk(root))
    return f"""\
#compdef blockd
# zsh completion for blockd, made by: blockd completion zsh
__blockd_list_names() {{
    local -a names
    names=("${{(@f)$(blockd completion --list-names ${{opt_args[-c]:+-c ${{opt_args[-c]}}}} 2>/dev/null)}}")
    compadd -a names
}}

{functions}
if [ "$funcstack[1]" = "_blockd" ]; then _blockd "$@"; else compdef _blockd blockd; fi
"""


def _zsh_name(command: Command) -> str:
    return "_".join(("_blockd", *command.path))


def _zsh_text(text: str) -> str:
    """Escape what _arguments reads as its own."""
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")


def _zsh_action(argument: Argument) -> str:
    if argument.file:
        return "_files"
    if argument.list:
        return "__blockd_list_names"
    return f"({' '.join(argument.values)})" if argument.values else " "


def _zsh_specs(command: Command) -> Iterator[str]:
    for argument in command.arguments:
        action = f":{_zsh_text(argument.metavar)}:{_zsh_action(argument)}" if argument.metavar else ""
        for flag in argument.flags:
            others = f"({' '.join(argument.flags)})" if len(argument.flags) > 1 else ""
            yield f"{others}{flag}[{_zsh_text(argument.help)}]{action}"
        if not argument.flags:
            yield f"{'*' if argument.many else ''}{action}"


def _zsh_function(command: Command) -> str:
    specs = list(_zsh_specs(command))
    if not command.commands:
        lines = " \\\n        ".join(map(shlex.quote, specs))
        return f"{_zsh_name(command)}() {{\n    _arguments -s \\\n        {lines}\n}}\n"
    specs += ["1: :->command", "*:: :->arguments"]
    lines = " \\\n        ".join(map(shlex.quote, specs))
    names = "\n        ".join(shlex.quote(f"{inner.path[-1]}:{inner.help}") for inner in command.commands)
    cases = "\n        ".join(f"{inner.path[-1]}) {_zsh_name(inner)} ;;" for inner in command.commands)
    return f"""\
{_zsh_name(command)}() {{
    local state line
    local -a commands
    commands=(
        {names}
    )
    _arguments -C \\
        {lines}
    case $state in
    command) _describe command commands ;;
    arguments)
        case $line[1] in
        {cases}
        esac
        ;;
    esac
}}
"""


# --- fish


def fish(root: Command) -> str:
    """Write the script for fish: one line for each word."""
    paths = " ".join(_fish(" ".join(command.path)) for command in tree.walk(root) if command.path)
    lines = [
        "# fish completion for blockd, made by: blockd completion fish",
        f"set -g __blockd_paths {paths}",
        *FISH_AT,
        "complete -c blockd -f",
    ]
    for command in tree.walk(root):
        at = f"-n '{' '.join(('__blockd_at', *command.path))}'"
        lines += [f"complete -c blockd {at} -a {inner.path[-1]} -d {_fish(inner.help)}" for inner in command.commands]
        for argument in command.arguments:
            lines.append(f"complete -c blockd {at}{_fish_argument(argument)}")
    return "\n".join(lines) + "\n"


FISH_AT = (
    "function __blockd_at # whether the words so far lead to this command, and to none below it",
    "    set -l words (commandline -opc)",
    "    set -l at",
    "    for word in $words[2..-1]",
    '        contains -- (string trim -- "$at $word") $__blockd_paths; and set -a at $word',
    "    end",
    '    test "$at" = "$argv"',
    "end",
)


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_argument(argument: Argument) -> str:
    parts = [f" -{'s' if len(flag) == 2 else 'l'} {flag.lstrip('-')}" for flag in argument.flags]
    if argument.flags and argument.metavar:
        parts.append(" -r" if argument.file else " -x")
    if argument.file:
        parts.append(" -F")
    if argument.list:
        parts.append(" -a '(blockd completion --list-names 2>/dev/null)'")
    elif argument.values:
        parts.append(f" -a {_fish(' '.join(argument.values))}")
    elif not argument.flags and not argument.file:
        parts.append(" -a ''")
    return "".join(parts) + (f" -d {_fish(argument.help)}" if argument.help else "")
