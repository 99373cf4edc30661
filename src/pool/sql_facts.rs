//! What the text of a statement says about what the statement may do, found by its words alone.
//!
//! The client does not parse SQL. Where the words do not decide, the answer is the one that costs time, never the one
//! that costs correctness: a call of a function that is not known may do anything.

use crate::pool::sql_tokens::{Token, Tokens};
use crate::pool::sql_words::{
    COMMITTING, HARMLESS, LISTING, PLAIN, RENAMING, WRITING, has_any, lists, may_alter_schema, mentions_naming,
};

/// Which kind of command a statement is, by its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, TABLE, WITH: the server keeps a plan, which depends on tables.
    Planned,
    /// FETCH, EXECUTE, CALL: its columns are those of something else, and the server does not notice that they change.
    Borrowed,
    Other,
}

/// Which settings of its session a statement changes, by its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingsChange {
    None,
    /// Settings of the present transaction (SET LOCAL).
    Local,
    /// Settings of the session: a statement of another caller that is pipelined behind this one would run with them.
    Session,
}

/// What a name ahead of a parenthesis calls.
#[derive(PartialEq, Eq)]
enum Called {
    SetConfig,
    Other,
}

/// What the words of a statement say.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct SqlFacts {
    pub(crate) command: Command,
    pub(crate) settings_change: SettingsChange,
    /// It may change settings in a way that the server does not report: by set_config or by a function of the user.
    pub(crate) may_set: bool,
    /// Like `may_set` without the calls of functions, and the change may outlast the transaction.
    pub(crate) may_leave_settings: bool,
    /// The names, in lower case, of the functions that it calls and that are not known.
    pub(crate) unknown_calls: Vec<String>,
    /// It returns all columns of a table, whichever these are.
    pub(crate) returns_all: bool,
    /// It may fire triggers.
    pub(crate) writes: bool,
    /// It calls a function that is not known, or runs code in another way.
    pub(crate) runs_code: bool,
    /// It calls no function and casts nothing: the locks on its tables keep its plan valid until the transaction ends.
    pub(crate) is_held_by_locks: bool,
    /// It may change what the names in later statements mean, or take the client's prepared statements away.
    pub(crate) changes_names: bool,
    /// It changes tables, views or types that other sessions see.
    pub(crate) alters_schema: bool,
    /// It makes something, which may hide what has its name.
    pub(crate) creates: bool,
    /// It may take the client's prepared statements away.
    pub(crate) may_deallocate: bool,
    /// Outside of a transaction it may commit a part of its work before it ends, so its failure may leave that part.
    pub(crate) may_commit: bool,
    /// It takes the rows of a function or the columns of a value apart. The server does not plan such a statement anew
    /// when the type of the row changes.
    pub(crate) expands_types: bool,
    /// It ends with a comment about its trace, so that no other run of the statement has the same text.
    pub(crate) is_traced: bool,
}

/// Whether a text ends with the comment of a trace, as google.github.io/sqlcommenter has it.
fn is_traced(text: &str) -> bool {
    text.ends_with("'*/") && text.rfind("/*").is_some_and(|at| text[at..].contains("traceparent='"))
}

impl SqlFacts {
    pub(crate) fn of(sql: &str) -> Self {
        let mut tokens = Tokens(sql).skip_while(|token| matches!(token, Token::Sign(b';' | b'('))).peekable();
        let first = match tokens.peek() {
            Some(Token::Word(word)) => word.to_ascii_lowercase(),
            _ => String::new(),
        };
        let mut facts = Self::of_command(&first);
        let mut naming = false;
        let mut does_ddl = false;
        // How many parentheses are open, and at which of them the calls of set_config began.
        let mut depth = 0_usize;
        let mut set_configs = Vec::new();
        // The token ahead of this one, and the token ahead of the name that this one belongs to (`a.b.c` is one name).
        let (mut before, mut ahead) = (None, None);
        let mut last_but_one = None;
        let mut second = String::new();
        for (index, token) in tokens.enumerate() {
            match token {
                Token::Word(word) => {
                    if before != Some(Token::Sign(b'.')) {
                        ahead = before;
                    }
                    if index == 1 {
                        second = word.to_ascii_lowercase();
                    }
                    naming |= mentions_naming(word);
                    facts.writes |= lists(WRITING, word);
                    facts.may_commit |= facts.command == Command::Other
                        && first != "refresh"
                        && word.eq_ignore_ascii_case("concurrently");
                    // A name in an escaped form, or the view by which settings can be updated.
                    let is_hidden = before == Some(Token::Sign(b'&')) || word.eq_ignore_ascii_case("pg_settings");
                    facts.runs_code |= is_hidden;
                    facts.may_leave_settings |= is_hidden;
                }
                Token::Text(text) => {
                    naming |= mentions_naming(text);
                    if first == "do" {
                        // A backslash may hide any word.
                        facts.may_commit |= has_any(&["commit", "call", "execute", "\\"], text);
                        facts.may_deallocate |= has_any(&["deallocate", "discard", "execute"], text);
                        facts.creates |= has_any(&["create", "execute"], text);
                        does_ddl |= may_alter_schema(text);
                    }
                }
                Token::Sign(b'(') => {
                    depth += 1;
                    if let Some(Token::Word(name)) = before
                        && facts.note_call(name, ahead) == Called::SetConfig
                    {
                        set_configs.push(depth);
                    }
                }
                Token::Sign(b')') => {
                    if set_configs.last() == Some(&depth) {
                        set_configs.pop();
                        let is_local = matches!(before, Some(Token::Word(word)) if word.eq_ignore_ascii_case("true"));
                        facts.may_leave_settings |= !is_local;
                    }
                    depth = depth.saturating_sub(1);
                }
                Token::Sign(b':') if before == Some(Token::Sign(b':')) => facts.is_held_by_locks = false,
                Token::Sign(b'*') => {
                    let is_of_value = before == Some(Token::Sign(b'.')) && last_but_one == Some(Token::Sign(b')'));
                    facts.expands_types |= is_of_value;
                    facts.returns_all |= match before {
                        Some(Token::Word(word)) => lists(LISTING, word),
                        Some(Token::Sign(sign)) => matches!(sign, b',' | b'.' | b')'),
                        _ => false,
                    };
                }
                Token::Sign(_) => {}
            }
            last_but_one = before;
            before = Some(token);
        }
        facts.may_leave_settings |= !set_configs.is_empty();
        facts.alters_schema |= does_ddl;
        facts.is_traced = is_traced(sql);
        facts.conclude(&first, &second, naming);
        facts
    }

    /// What the first word says.
    fn of_command(first: &str) -> Self {
        let command = match first {
            "select" | "insert" | "update" | "delete" | "merge" | "with" | "values" | "table" => Command::Planned,
            "fetch" | "execute" | "call" => Command::Borrowed,
            _ => Command::Other,
        };
        let runs_code = command != Command::Planned && !lists(PLAIN, first);
        Self {
            command,
            settings_change: SettingsChange::None,
            may_set: false,
            may_leave_settings: runs_code,
            unknown_calls: Vec::new(),
            returns_all: first == "table",
            writes: false,
            runs_code,
            is_held_by_locks: command == Command::Planned,
            changes_names: false,
            alters_schema: lists(" alter drop import ", first),
            creates: first == "create",
            may_commit: lists(COMMITTING, first),
            may_deallocate: lists(" call deallocate discard ", first),
            expands_types: false,
            is_traced: false,
        }
    }

    /// Draws the conclusions, after the last word. `naming`: a setting was named that decides what names mean.
    fn conclude(&mut self, first: &str, second: &str, naming: bool) {
        self.settings_change = match first {
            "set" if ["local", "transaction", "constraints"].contains(&second) => SettingsChange::Local,
            "set" | "reset" | "discard" => SettingsChange::Session,
            _ => SettingsChange::None,
        };
        self.may_set |= self.runs_code;
        // Others do not see temporary tables.
        self.alters_schema |= first == "create" && !lists(" temp temporary local global ", second);
        self.changes_names = self.runs_code
            || lists(RENAMING, first)
            || naming && (self.may_set || self.settings_change != SettingsChange::None);
    }

    /// Whether all that it changes is settings.
    pub(crate) fn only_sets(&self) -> bool {
        self.settings_change != SettingsChange::None || self.may_set && !self.runs_code
    }

    /// Whether the statement, with these parameters, may change what the names in later statements mean.
    pub(crate) fn may_change_names(&self, params: &[u8]) -> bool {
        self.changes_names || self.may_set && mentions_naming(&String::from_utf8_lossy(params))
    }

    /// A name is followed by a parenthesis. `ahead`: the token ahead of the name.
    fn note_call(&mut self, name: &str, ahead: Option<Token<'_>>) -> Called {
        let name = name.to_ascii_lowercase();
        let is_of_columns = |word: &str| ["into", "as", "with", "recursive"].contains(&&*word.to_ascii_lowercase());
        if name == "set_config" {
            self.may_set = true;
            self.is_held_by_locks = false;
            return Called::SetConfig;
        } else if matches!(ahead, Some(Token::Word(word)) if is_of_columns(word)) {
            // INSERT INTO name (columns), AS name (columns), WITH name (columns).
            return Called::Other;
        } else if !lists(HARMLESS, &name) {
            self.runs_code = true;
            self.unknown_calls.push(name);
            let is_source = |word: &str| ["from", "join", "lateral"].contains(&&*word.to_ascii_lowercase());
            self.expands_types |= match ahead {
                Some(Token::Word(word)) => is_source(word),
                Some(Token::Sign(b',' | b'(')) => true,
                _ => false,
            };
        } else if name != "cast" {
            return Called::Other;
        }
        self.is_held_by_locks = false;
        Called::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_comment_says_that_a_text_is_traced() {
        let table = [
            ("SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/", true),
            ("SELECT 1 /*application='shop',traceparent='00-4bf9-00f0-01',tracestate='a%3D1'*/", true),
            ("SELECT 1 /*traceparent='00-4bf9-00f0-01'*/ + 1", false),
            ("SELECT 'traceparent=''' /*application='shop'*/", false),
        ];
        for (sql, traced) in table {
            assert_eq!(SqlFacts::of(sql).is_traced, traced, "{sql}");
        }
    }

    #[test]
    fn the_first_words_say_which_settings_change() {
        use SettingsChange::{Local, None, Session};
        let table = [
            ("SET x = 1", Session),
            ("  \n-- SELECT\n /* a /* b */ c */ set session x to 1", Session),
            ("RESET ALL", Session),
            ("DISCARD ALL", Session),
            (";SET x = 1", Session),
            ("SET LOCAL x = 1", Local),
            ("set/**/transaction read only", Local),
            ("SET CONSTRAINTS ALL DEFERRED", Local),
            ("SELECT 'SET'", None),
            ("SETTING", None),
            ("UPDATE t SET x = 1", None),
            ("/* SET", None),
            ("-- SET", None),
            ("", None),
        ];
        for (sql, change) in table {
            assert_eq!(SqlFacts::of(sql).settings_change, change, "{sql}");
        }
    }

    #[test]
    fn the_first_word_says_the_kind_of_command() {
        use Command::{Borrowed, Other, Planned};
        let table = [
            ("select 1", Planned),
            ("((SELECT 1) UNION (SELECT 2))", Planned),
            ("/* x */ With a AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM a", Planned),
            ("TABLE t", Planned),
            ("FETCH 1 FROM c", Borrowed),
            ("execute p(1)", Borrowed),
            ("CREATE TABLE t (a int)", Other),
            ("SAVEPOINT a", Other),
            ("EXPLAIN SELECT 1", Other),
            ("", Other),
        ];
        for (sql, command) in table {
            assert_eq!(SqlFacts::of(sql).command, command, "{sql}");
        }
    }

    #[test]
    fn a_call_that_is_not_known_may_do_anything() {
        // The SQL, whether it may change settings unseen, and whether locks keep its plan valid.
        let table = [
            ("SELECT * FROM t WHERE id = $1 AND x IN (1, 2)", false, true),
            ("SELECT count(*), lower(a), now() FROM t", false, true),
            ("INSERT INTO note (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b", false, true),
            ("INSERT INTO s.note (a) SELECT a FROM s.t AS x (a)", false, true),
            ("WITH RECURSIVE x (a) AS (SELECT 1) SELECT a FROM x", false, true),
            ("SELECT 'f(1)' AS \"g(1)\", $$h(1)$$, $x$ i(1) $x$, E'\\' j(1)' -- k(1)", false, true),
            ("SELECT a::text FROM t", false, false),
            ("SELECT cast(a AS mood) FROM t", false, false),
            ("SELECT set_config('a.b', 'c', false)", true, false),
            ("SELECT \"set_config\" ('a.b', 'c', false)", true, false),
            ("SELECT pg_catalog.SET_CONFIG/**/('a.b', 'c', false)", true, false),
            ("SELECT s.f(1)", true, false),
            ("SELECT * FROM f($1)", true, false),
            ("SELECT E'\\'', f(1)", true, false),
            ("SELECT $1, f(1), $x$", true, false),
            ("DO $$ BEGIN NULL; END $$", true, false),
            ("CALL p()", true, false),
            ("EXPLAIN ANALYZE SELECT 1", true, false),
            ("MOVE 1 FROM c", true, false),
            ("SET a.b = 'c'", false, false),
            ("SAVEPOINT a", false, false),
            ("COMMIT", false, false),
        ];
        for (sql, may_set, held) in table {
            let facts = SqlFacts::of(sql);
            assert_eq!((facts.may_set, facts.is_held_by_locks), (may_set, held), "{sql}");
        }
    }

    #[test]
    fn what_changes_the_meaning_of_names_is_noticed() {
        let table = [
            ("SET LOCAL search_path = a", true),
            ("set local Role x", true),
            ("SET SCHEMA 'a'", true),
            ("SELECT set_config('Search_Path', $1, true)", true),
            ("SELECT set_config('app.tenant', $1, true)", false),
            ("SET LOCAL statement_timeout = 1", false),
            ("SAVEPOINT a", false),
            ("ROLLBACK TO a", true),
            ("DEALLOCATE ALL", true),
            ("CREATE TEMP TABLE a (b int)", true),
            ("SELECT f()", true),
            ("SELECT lower(role) FROM t", false),
        ];
        for (sql, mentions) in table {
            assert_eq!(SqlFacts::of(sql).changes_names, mentions, "{sql}");
        }
    }

    #[test]
    fn rows_of_functions_and_columns_of_values_are_noticed() {
        let table = [
            ("SELECT * FROM f($1)", true),
            ("SELECT a.* FROM t JOIN s.f(1) a ON true", true),
            ("SELECT * FROM t, f(1)", true),
            ("SELECT (p).* FROM t", true),
            ("SELECT f(1)", false),
            ("SELECT t.*, count(*) FROM t, generate_series(1, 2)", false),
        ];
        for (sql, expands) in table {
            assert_eq!(SqlFacts::of(sql).expands_types, expands, "{sql}");
        }
    }

    #[test]
    fn statements_that_return_all_columns_are_noticed() {
        let table = [
            ("SELECT * FROM t", true),
            ("SELECT DISTINCT ON (a) * FROM t", true),
            ("SELECT a, t.* FROM t", true),
            ("INSERT INTO t VALUES (1) RETURNING *", true),
            ("TABLE t", true),
            ("SELECT count(*), a * b FROM t", false),
            ("SELECT '*' FROM t", false),
        ];
        for (sql, all) in table {
            assert_eq!(SqlFacts::of(sql).returns_all, all, "{sql}");
        }
    }

    #[test]
    fn statements_that_may_commit_by_themselves_are_noticed() {
        let table = [
            ("CALL p()", true),
            ("-- x\n call s.p($1)", true),
            ("DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; RAISE 'x'; END $$", true),
            ("DO LANGUAGE plpgsql 'begin call p(); end'", true),
            ("DO $$ BEGIN EXECUTE 'CALL p()'; END $$", true),
            ("DO E'begin comm\\x69t; end'", true),
            ("DO $$ BEGIN RAISE 'x'; END $$", false),
            ("CREATE INDEX CONCURRENTLY i ON t (a)", true),
            ("DROP INDEX concurrently i", true),
            ("REINDEX TABLE t", true),
            ("VACUUM t", true),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", false),
            ("CREATE INDEX i ON t (a)", false),
            ("SELECT 'CALL p()', concurrently FROM t", false),
            ("INSERT INTO t VALUES (1)", false),
            ("SELECT f()", false),
        ];
        for (sql, commits) in table {
            assert_eq!(SqlFacts::of(sql).may_commit, commits, "{sql}");
        }
    }

    #[test]
    fn settings_that_a_call_leaves_behind_are_noticed() {
        // The SQL, whether settings may stay by its words alone, and the functions on which that depends.
        let table: &[(&str, bool, &[&str])] = &[
            ("SELECT set_config('a.b', 'c', false)", true, &[]),
            ("SELECT set_config('a.b', 'c', true)", false, &[]),
            ("SELECT set_config('a.b', f('c'), true), count(*)", false, &["f"]),
            ("SELECT set_config('a.b', 'c', $1)", true, &[]),
            ("SELECT set_config('a.b', 'c', true), set_config('a.b', 'c', false)", true, &[]),
            ("SELECT set_config('a.b'", true, &[]),
            ("UPDATE pg_settings SET setting = 'a' WHERE name = 'b'", true, &[]),
            ("SELECT U&\"\\0073et_config\"('a', 'b', false)", true, &["\\0073et_config"]),
            ("DO 'begin end'", true, &[]),
            ("SET LOCAL a.b = 'c'", false, &[]),
        ];
        for (sql, stays, calls) in table {
            let facts = SqlFacts::of(sql);
            assert_eq!(
                (facts.may_leave_settings, facts.unknown_calls),
                (*stays, calls.iter().map(ToString::to_string).collect()),
                "{sql}"
            );
        }
    }
}
