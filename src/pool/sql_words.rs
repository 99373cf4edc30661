//! Words of SQL that mean something to the client.

/// Functions of PostgreSQL that change no setting and no name, by the frequency of their use. A function that is
/// missing here is only slower. Words that are followed by a parenthesis and are no calls stand here, too.
pub(super) const HARMLESS: &str = " \
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
pub(super) const PLAIN: &str = " \
    abort analyze begin checkpoint close cluster commit deallocate discard end listen lock notify prepare release reset \
    rollback savepoint set show start unlisten vacuum ";

/// Commands that may commit a part of their work outside of a transaction: procedures do it by COMMIT, the others for each
/// table. (PostgreSQL docs, 43.8 "Transaction Management"; PreventInTransactionBlock and its callers.)
pub(super) const COMMITTING: &str = " analyze call cluster reindex repack vacuum ";

/// Words ahead of a `*` that stands for all columns.
pub(super) const LISTING: &str = " all distinct returning select ";

/// Words of statements that may fire triggers.
pub(super) const WRITING: &str = " delete insert merge truncate update ";

/// Commands after which names may mean something else, or the client's prepared statements are gone. ROLLBACK: TO a
/// savepoint.
pub(super) const RENAMING: &str = " abort alter create deallocate discard drop reset rollback truncate ";

/// Settings that decide which table, function or type a name means.
const NAMING: [&str; 4] = ["search_path", "role", "session_authorization", "schema"];

/// Whether a list of words, each between spaces, has this word.
pub(super) fn lists(list: &str, word: &str) -> bool {
    !word.contains(' ') && list.contains(&format!(" {} ", word.to_ascii_lowercase()))
}

/// Whether a text has one of these words anywhere in it.
pub(super) fn has_any(words: &[&str], text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// Whether a block or a script has words in it with which it may change tables, views or types.
pub(crate) fn may_alter_schema(sql: &str) -> bool {
    has_any(&["alter", "create", "drop", "execute"], sql)
}

/// Whether a text names a setting that decides what names mean.
pub(super) fn mentions_naming(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NAMING.iter().any(|name| text.contains(name))
}
