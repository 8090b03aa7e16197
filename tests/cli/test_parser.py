from __future__ import annotations

import argparse

import pytest

from blockd.cli.parser import Parser, add_config, add_json, did_you_mean, one_line


def made():
    parser = Parser(prog="blockd x")
    parser.add_argument("--mode", choices=["enforce", "shadow"])
    parser.add_argument("--reason")
    add_config(parser)
    add_json(parser)
    return parser


def said(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        made().parse_args(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_an_error_is_one_line_that_says_what_to_do_next(capsys):
    err = said(capsys, "--reason")
    assert err.startswith("blockd x: ")
    assert err.endswith("Try 'blockd x --help'.\n")


def test_a_wrong_word_names_the_nearest(capsys):
    assert "did you mean enforce?" in said(capsys, "--mode", "enforced")
    assert "did you mean --reason?" in said(capsys, "--raeson=x")


def test_an_option_is_never_abbreviated(capsys):
    assert "does not take --reas" in said(capsys, "--reas", "x")


def test_what_a_person_typed_cannot_move_the_cursor(capsys):
    assert "\x1b" not in said(capsys, "--mode", "\x1b[2Jx")
    assert one_line("a\nb\x1b[31m") == "a b [31m"


def test_the_default_configuration():
    args = made().parse_args([])
    assert str(args.config) == "/etc/blockd/blockd.toml"
    assert args.json is False


def test_nothing_near_is_not_guessed():
    assert did_you_mean("zzz", ["status"]) == ""
    assert did_you_mean("statsu", ["status"]) == "; did you mean status?"


def test_subparsers_are_of_the_same_kind():
    inner = made().add_subparsers().add_parser("inner")
    assert isinstance(inner, Parser)
    assert isinstance(inner, argparse.ArgumentParser)
