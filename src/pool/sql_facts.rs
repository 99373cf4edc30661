//! What the text of a statement says about what the statement may do, found by its words alone.
//!
//! The client does not parse SQL. Where the words do not decide, the answer is the one that costs time, never the one
//! that costs correctness: a call of a function that is not known may do anything.

use crate::pool::sql_tokens::{Token, Tokens};

/// Functions of PostgreSQL that change no setting and no name, by the frequency of their use. A function that is
/// missing here is only slower. Words that are followed by a parenthesis and are no calls stand here, too.
const HARMLESS: &str = " \
    abs all and any any_value array array_agg array_append array_cat array_dims array_fill array_length array_lower \
    array_ndims array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string \
    array_upper as ascii asc avg begin between bigint bit bit_and bit_length bit_or bool_and bool_or bpchar btrim by \
    cardinality case cast ceil ceiling char char_length character chr clock_timestamp coalesce collate concat concat_ws \
    conflict convert_from convert_to count crc32 cross cube cume_dist current_date current_database current_schema \
    current_schemas current_setting current_time current_timestamp current_user currval date date_bin date_part \
    date_trunc dec decimal decode default degrees delete dense_rank desc distinct div do else encode end every except \
    exists exp extract false filter first_value float floor for format format_type from full gcd gen_random_uuid \
    generate_series generate_subscripts greatest grouping groups having host hashtext if in inner insert int \
    int4range int8range integer intersect interval into is isfinite join json_agg json_array json_array_elements \
    json_array_elements_text json_array_length json_arrayagg json_build_array json_build_object json_each \
    json_each_text json_extract_path json_extract_path_text json_object json_object_agg json_object_keys \
    json_objectagg json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset \
    json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array \
    jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object \
    jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array \
    jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax \
    jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval key \
    lag last_value lastval lateral lcm lead least left length like limit ln localtime localtimestamp log lower lpad \
    ltrim make_date make_interval make_time make_timestamp make_timestamptz materialized max md5 merge min mod mode \
    national nchar nextval normalize not nothing now nth_value ntile null nullif num_nonnulls num_nulls numeric \
    numrange octet_length of offset on only or order ordinality over overlaps overlay partition percent_rank \
    percentile_cont percentile_disc pg_advisory_lock pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock \
    pg_backend_pid pg_column_size pg_current_wal_lsn pg_current_xact_id pg_database_size pg_is_in_recovery \
    pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_notify pg_postmaster_start_time pg_relation_size pg_size_pretty \
    pg_sleep pg_table_size pg_total_relation_size pg_try_advisory_lock pg_try_advisory_xact_lock pg_typeof \
    pg_wal_lsn_diff phraseto_tsquery plainto_tsquery position power precision quote_ident quote_literal quote_nullable \
    radians random range rank recursive references regexp_count regexp_instr regexp_like regexp_match regexp_matches \
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace returning reverse right \
    rollup round row row_number row_to_json rows rpad rtrim scale select session_user set setof setval sets sha224 \
    sha256 sha384 sha512 sign similar some split_part sqrt starts_with statement_timestamp stddev stddev_pop \
    stddev_samp string_agg string_to_array string_to_table strpos substr substring sum symmetric tablesample then \
    time timeofday timestamp timestamptz timetz to to_char to_date to_hex to_json to_jsonb to_number to_timestamp \
    to_tsquery to_tsvector transaction_timestamp translate treat trim trim_array true trunc ts_headline ts_rank \
    ts_rank_cd tsrange tstzrange txid_current union unnest update upper user using uuid uuidv4 uuidv7 values \
    var_pop var_samp varbit varchar variance varying version websearch_to_tsquery when where width_bucket window with \
    within without xmlagg xmlconcat xmlelement xmlforest ";

/// Commands other than the planned ones that run no function of the user, or none that lasts. Others, like COMMENT, may
/// fire event triggers.
const PLAIN: &str = " \
    abort analyze begin checkpoint close cluster commit deallocate discard end listen lock notify prepare release reset \
    rollback savepoint set show start unlisten vacuum ";

/// Words of statements that may fire triggers.
const WRITING: &str = " delete insert merge truncate update ";

/// Commands after which names may mean something else, or the client's prepared statements are gone. ROLLBACK: TO a
/// savepoint.
const RENAMING: &str = " abort alter create deallocate discard drop reset rollback truncate ";

/// Settings that decide which table, function or type a name means.
const NAMING: [&str; 4] = ["search_path", "role", "session_authorization", "schema"];

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct SqlFacts {
    pub(crate) command: Command,
    pub(crate) settings_change: SettingsChange,
    /// It may change settings in a way that the server does not report: by set_config or by a function of the user.
    pub(crate) may_set: bool,
    /// Like `may_set`, and the change may outlast the transaction.
    pub(crate) may_leave_settings: bool,
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
    /// It takes the rows of a function or the columns of a value apart. The server does not plan such a statement anew
    /// when the type of the row changes.
    pub(crate) expands_types: bool,
}

/// Whether a list of words, each between spaces, has this word.
fn lists(list: &str, word: &str) -> bool {
    !word.contains(' ') && list.contains(&format!(" {} ", word.to_ascii_lowercase()))
}

/// Whether a text has one of these words anywhere in it.
fn has_any(words: &[&str], text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// Whether a text names a setting that decides what names mean.
fn mentions_naming(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NAMING.iter().any(|name| text.contains(name))
}

impl SqlFacts {
    pub(crate) fn of(sql: &str) -> Self {
        let mut tokens = Tokens(sql).skip_while(|token| matches!(token, Token::Sign(b';' | b'('))).peekable();
        let first = match tokens.peek() {
            Some(Token::Word(word)) => word.to_ascii_lowercase(),
            _ => String::new(),
        };
        let command = match &*first {
            "select" | "insert" | "update" | "delete" | "merge" | "with" | "values" | "table" => Command::Planned,
            "fetch" | "execute" | "call" => Command::Borrowed,
            _ => Command::Other,
        };
        let mut facts = Self {
            command,
            settings_change: SettingsChange::None,
            may_set: false,
            may_leave_settings: false,
            writes: false,
            runs_code: command != Command::Planned && !lists(PLAIN, &first),
            is_held_by_locks: command == Command::Planned,
            changes_names: false,
            alters_schema: false,
            creates: first == "create",
            may_deallocate: lists(" call deallocate discard ", &first),
            expands_types: false,
        };
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
                    // A name in an escaped form, or the view by which settings can be updated.
                    let is_hidden = before == Some(Token::Sign(b'&')) || word.eq_ignore_ascii_case("pg_settings");
                    facts.runs_code |= is_hidden;
                }
                Token::Text(text) => {
                    naming |= mentions_naming(text);
                    if first == "do" {
                        facts.may_deallocate |= has_any(&["deallocate", "discard", "execute"], text);
                        facts.creates |= has_any(&["create", "execute"], text);
                        does_ddl |= has_any(&["alter", "create", "drop", "execute"], text);
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
                Token::Sign(b'*') if before == Some(Token::Sign(b'.')) && last_but_one == Some(Token::Sign(b')')) => {
                    facts.expands_types = true;
                }
                Token::Sign(_) => {}
            }
            last_but_one = before;
            before = Some(token);
        }
        facts.settings_change = match &*first {
            "set" if ["local", "transaction", "constraints"].contains(&&*second) => SettingsChange::Local,
            "set" | "reset" | "discard" => SettingsChange::Session,
            _ => SettingsChange::None,
        };
        facts.may_set |= facts.runs_code;
        facts.may_leave_settings |= facts.runs_code || !set_configs.is_empty();
        facts.alters_schema = match &*first {
            "create" => !["temp", "temporary", "local"].contains(&&*second),
            "alter" | "drop" | "import" => true,
            "do" => does_ddl,
            _ => false,
        };
        facts.changes_names = facts.runs_code
            || lists(RENAMING, &first)
            || naming && (facts.may_set || facts.settings_change != SettingsChange::None);
        facts
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
}
