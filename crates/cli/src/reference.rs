//! The guide to all commands, written from the same definition as their help.

use crate::args;
use clap::{Arg, Command};
use std::fmt::Write;

/// All commands as one page of Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut root = args::command().term_width(100);
    root.build();
    let mut page = String::from(
        "# The command `holm`\n\n<!-- Written from the definition of the commands; change it there. -->\n\n\
        Answers go to standard output, remarks, progress and errors to standard error. Objects are named by name or id. \
        `--help` after any command shows what this page says of it.\n\n## For every command\n\n",
    );
    for argument in root.get_arguments().filter(|argument| is_told(argument)) {
        tell(&mut page, argument);
    }
    page += "\n```text\n";
    page += &root.get_after_help().map(ToString::to_string).unwrap_or_default();
    page += "\n```\n";
    let globals: Vec<String> = root.get_arguments().map(|argument| argument.get_id().to_string()).collect();
    for command in root.get_subcommands().filter(|command| is_shown(command)) {
        section(&mut page, command, "holm", &globals, 2);
    }
    page
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn is_told(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn section(page: &mut String, command: &Command, parent: &str, globals: &[String], level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // Writing into a string does not fail.
    let _ = write!(page, "\n{} {name}\n\n{about}.\n", "#".repeat(level));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| is_told(argument) && !globals.iter().any(|id| id == argument.get_id().as_str()))
        .collect();
    if !own.is_empty() {
        page.push('\n');
        for argument in own {
            tell(page, argument);
        }
    }
    if let Some(more) = command.get_after_help() {
        let _ = write!(page, "\n```text\n{more}\n```\n");
    }
    for below in command.get_subcommands().filter(|command| is_shown(command)) {
        section(page, below, &name, globals, level + 1);
    }
}

fn tell(page: &mut String, argument: &Arg) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values = argument.get_possible_values();
    let shown = if values.is_empty() || argument.is_hide_possible_values_set() || !argument.get_action().takes_values()
    {
        String::new()
    } else {
        let words: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        format!(" One of {}.", words.join(", "))
    };
    let _ = writeln!(page, "- `{}`: {help}.{shown}", argument.to_string().trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves<'a>(command: &'a Command, path: &str, found: &mut Vec<(String, &'a Command)>) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                leaves(below, &path, found);
            }
        } else {
            found.push((path, command));
        }
    }

    #[test]
    fn the_definition_is_sound() {
        args::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        let root = args::command();
        let mut found = Vec::new();
        leaves(&root, "", &mut found);
        assert!(found.len() > 40, "only {} commands", found.len());
        for (path, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "{path} has no examples");
            let joined = help.replace("\\\n", " ");
            for line in joined.lines().skip(1).take_while(|line| line.starts_with("  ")) {
                check_example(&path, line);
            }
        }
    }

    /// The part of an example line that is a call of holm must be understood by the definition.
    fn check_example(path: &str, line: &str) {
        let Some(at) = line.find("holm ") else { return };
        let call = &line[at..];
        let end = [" | ", " > ", " < ", " &", "  #", ")\"", ") "].iter().filter_map(|stop| call.find(stop)).min();
        let words = split(&call[..end.unwrap_or(call.len())]);
        if words.iter().any(|word| word.contains('$')) {
            return;
        }
        let words: Vec<String> = words
            .into_iter()
            .map(|word| word.replace("0123...", &"01".repeat(if word.contains("sha512") { 64 } else { 32 })))
            .collect();
        // What xargs adds is not on the line.
        if line.contains("xargs holm vm delete") && !call.contains("list") {
            return;
        }
        if let Err(error) = args::parse(&words) {
            panic!("{path}: {line}\n{error}");
        }
    }

    fn split(text: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in text.chars() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, ' ') => words.push(String::new()),
                (_, c) => words.last_mut().expect("there is always a word").push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// `HOLM_UPDATE=1 cargo test -p holm-cli guide` writes the page anew.
    #[test]
    fn the_guide_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/cli.md");
        let page = markdown();
        if std::env::var_os("HOLM_UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            std::fs::write(&path, &page).expect("written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == page, "docs/guides/cli.md is not current; run HOLM_UPDATE=1 cargo test -p holm-cli guide");
    }
}
