//! The words, strings and signs of SQL, without white space and comments (PostgreSQL docs, 4.1 "Lexical Structure").

/// A part of SQL that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A word, or a quoted name without its quotes.
    Word(&'a str),
    /// The inside of a string.
    Text(&'a str),
    Sign(u8),
}

/// Reads SQL token by token, without white space and comments.
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl<'a> Tokens<'a> {
    /// Takes `length` bytes, which must end at the boundary of a character.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// Takes the rest of a string or a quoted name, up to its closing quote. A doubled quote reads as two strings.
    fn take_quoted(&mut self, quote: u8, escapes: bool) -> &'a str {
        let bytes = self.0.as_bytes();
        let mut end = 0;
        while end < bytes.len() && bytes[end] != quote {
            end += if escapes && bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(bytes.len());
        // An escape may end within a character only if the text is broken.
        let end = (end..=bytes.len()).find(|&end| self.0.is_char_boundary(end)).unwrap_or(bytes.len());
        let inside = self.take(end);
        self.take(usize::from(!self.0.is_empty()));
        inside
    }

    /// Takes a string between dollar signs, if one begins here.
    fn take_dollar_quoted(&mut self) -> Option<&'a str> {
        let tag = 1 + self.0[1..].find('$')? + 1;
        let (opening, rest) = self.0.split_at(tag);
        let name = &opening[1..tag - 1];
        if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_of_word) {
            return None;
        }
        let end = rest.find(opening).unwrap_or(rest.len());
        self.take(tag);
        let inside = self.take(end);
        self.take(tag.min(self.0.len()));
        Some(inside)
    }

    /// The bytes of the word at the beginning of the rest.
    fn word_length(&self) -> usize {
        self.0.find(|c: char| !is_of_word(c) && c != '$').unwrap_or(self.0.len())
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.0 = self.0.trim_start();
            if let Some(comment) = self.0.strip_prefix("--") {
                self.0 = comment.find('\n').map_or("", |end| &comment[end..]);
                continue;
            }
            if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = skip_comment(comment);
                continue;
            }
            let first = *self.0.as_bytes().first()?;
            return Some(match first {
                b'\'' | b'"' => {
                    self.take(1);
                    let inside = self.take_quoted(first, false);
                    if first == b'"' { Token::Word(inside) } else { Token::Text(inside) }
                }
                b'$' => match self.take_dollar_quoted() {
                    Some(inside) => Token::Text(inside),
                    None => {
                        self.take(1);
                        let length = self.word_length();
                        Token::Word(self.take(length))
                    }
                },
                b'e' | b'E' if self.0.as_bytes().get(1) == Some(&b'\'') => {
                    self.take(2);
                    Token::Text(self.take_quoted(b'\'', true))
                }
                _ if first.is_ascii() && !is_of_word(char::from(first)) => {
                    self.take(1);
                    Token::Sign(first)
                }
                _ => {
                    let length = self.word_length();
                    Token::Word(self.take(length))
                }
            });
        }
    }
}

/// The text after a comment, which may have nested comments. `rest` begins after the opening `/*`.
fn skip_comment(mut rest: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = rest.find(['*', '/']) else { return "" };
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, behind);
        } else if let Some(behind) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, behind);
        } else {
            rest = &rest[1..];
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_split_into_words_strings_and_signs() {
        use Token::{Sign, Text, Word};
        let table: &[(&str, &[Token<'_>])] = &[
            ("a.\"B c\" -- d\n /* e /* f */ g */ (", &[Word("a"), Sign(b'.'), Word("B c"), Sign(b'(')]),
            ("'it''s' E'\\'x' $$y'$$ $t$ $$ $t$", &[Text("it"), Text("s"), Text("\\'x"), Text("y'"), Text(" $$ ")]),
            ("$1::int[]", &[Word("1"), Sign(b':'), Sign(b':'), Word("int"), Sign(b'['), Sign(b']')]),
            ("é_1$2", &[Word("é_1$2")]),
        ];
        for (sql, tokens) in table {
            assert_eq!(Tokens(sql).collect::<Vec<_>>(), *tokens, "{sql}");
        }
    }

    #[test]
    fn broken_texts_are_read_to_their_end() {
        for sql in ["'", "\"", "$", "$$", "$x$", "E'\\", "/*", "e'\\é", "é(", "(", ";;(", "a.", ".(", "$é$ ü", "::"]
        {
            // This ends, and does not panic.
            assert!(Tokens(sql).count() <= sql.len(), "{sql}");
        }
    }
}
