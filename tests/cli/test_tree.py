from __future__ import annotations

from blockd.cli import tree
from blockd.cli.main import COMMANDS, parser


def test_the_whole_parser_is_there():
    root = tree.read(parser())
    assert [c.path[0] for c in root.commands] == list(COMMANDS)
    paths = [" ".join(c.path) for c in tree.walk(root)]
    assert {"", "lists", "lists update", "lists kill", "feed publish"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_an_argument_says_what_it_takes():
    by_path = {c.path: {a.flags or a.metavar: a for a in c.arguments} for c in tree.walk(tree.read(parser()))}
    kill = by_path["lists", "kill"]
    assert kill["LIST"].list
    assert kill["LIST"].required
    assert kill["--for",].metavar == "DURATION"
    assert kill["-c", "--config"].file
    assert kill["--json",].metavar == ""
    assert by_path["lists", "update"]["LIST"].many
    assert by_path["run",]["--role",].values == ("all", "resolver", "web", "control", "xdp")
    assert "/etc/blockd" in by_path["check",]["-c", "--config"].help  # %(default)s is expanded


def test_every_argument_and_command_is_explained():
    for command in tree.walk(tree.read(parser())):
        assert command.description, command.path
        for argument in command.arguments:
            assert argument.help or command.path[0] == "feed", (command.path, argument)
            assert "%(" not in argument.help
