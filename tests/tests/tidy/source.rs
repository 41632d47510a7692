//! What in a Rust file is code, and what is text? A lexer just good enough to tell comments,
//! string literals and test modules from the rest.

/// A string literal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// The line it starts on, from 1.
    pub(crate) line: usize,
    /// What is between the quotes, escapes left as they are written.
    pub(crate) text: String,
}

/// A Rust source, taken apart. Test modules (`#[cfg(test)]`) are left out.
#[derive(Debug)]
pub(crate) struct Source {
    /// The source with comments and the inside of literals blanked; lines stay where they are.
    pub(crate) code: String,
    /// The string literals, in order.
    pub(crate) literals: Vec<Literal>,
}

/// Takes a source apart.
pub(crate) fn parse(text: &str) -> Source {
    let chars: Vec<char> = text.chars().collect();
    let mut code = chars.clone();
    let mut literals: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let end = match token(&chars, at) {
            Token::Code => {
                at += 1;
                continue;
            }
            Token::Blank(end) => end,
            Token::Literal { open, close, end } => {
                let text = chars[at + open..end - close].iter().collect();
                literals.push((at, text));
                end
            }
        };
        for blank in &mut code[at..end] {
            if *blank != '\n' {
                *blank = ' ';
            }
        }
        at = end;
    }
    for (start, end) in test_modules(&code) {
        for blank in &mut code[start..end] {
            if *blank != '\n' {
                *blank = ' ';
            }
        }
        literals.retain(|(at, _text)| !(start..end).contains(at));
    }
    let line = |at: usize| 1 + chars[..at].iter().filter(|char| **char == '\n').count();
    Source {
        code: code.iter().collect(),
        literals: literals
            .into_iter()
            .map(|(at, text)| Literal { line: line(at), text })
            .collect(),
    }
}

enum Token {
    /// One character of code.
    Code,
    /// A comment or a character literal, up to here.
    Blank(usize),
    /// A string up to `end`, with so many characters around its text.
    Literal { open: usize, close: usize, end: usize },
}

fn token(chars: &[char], at: usize) -> Token {
    let rest = &chars[at..];
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => {
            let length = rest.iter().position(|char| *char == '\n');
            Token::Blank(at + length.unwrap_or(rest.len()))
        }
        ['/', '*', ..] => Token::Blank(at + block_comment(rest)),
        ['"', ..] => literal(at, 1, 1, at + quoted(rest)),
        ['\'', '\\', ..] => {
            let length = rest[2..].iter().skip(1).position(|char| *char == '\'');
            Token::Blank(at + length.map_or(rest.len(), |length| length + 4))
        }
        ['\'', _, '\'', ..] => Token::Blank(at + 3),
        ['r', '"' | '#', ..] if !in_word => raw(rest, at, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => raw(rest, at, 2),
        _ => Token::Code,
    }
}

fn literal(at: usize, open: usize, close: usize, end: usize) -> Token {
    if end >= at + open + close {
        Token::Literal { open, close, end }
    } else {
        Token::Blank(end)
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `br#"…"#`, but not the raw identifier `r#type`.
fn raw(rest: &[char], at: usize, prefix: usize) -> Token {
    let hashes = rest[prefix..].iter().take_while(|char| **char == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') {
        return Token::Code;
    }
    let open = prefix + hashes + 1;
    let closing: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let text = rest[open..]
        .windows(closing.len())
        .position(|window| window == closing);
    let end = text.map_or(rest.len(), |text| open + text + closing.len());
    literal(at, open, closing.len(), at + end)
}

/// The code of a source without what stands under a `cfg` of this feature: an item, a statement.
pub(crate) fn without_feature(text: &str, feature: &str) -> String {
    let mut code: Vec<char> = parse(text).code.chars().collect();
    let mark = format!("#[cfg(feature = \"{feature}\")]");
    for (start, end) in marked(&text.chars().collect::<Vec<_>>(), &code, &mark) {
        for blank in &mut code[start..end] {
            if *blank != '\n' {
                *blank = ' ';
            }
        }
    }
    code.into_iter().collect()
}

/// The (start, end) of everything that follows a `#[cfg(test)]`, up to its closing brace.
fn test_modules(code: &[char]) -> Vec<(usize, usize)> {
    marked(code, code, "#[cfg(test)]")
}

/// The (start, end) of everything that follows a mark of the text, up to the closing brace or the
/// semicolon in its code.
fn marked(text: &[char], code: &[char], mark: &str) -> Vec<(usize, usize)> {
    let mark: Vec<char> = mark.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at + mark.len() <= text.len() {
        // In a comment the mark is no code.
        if text[at..at + mark.len()] != mark || code[at] != mark[0] {
            at += 1;
            continue;
        }
        let (mut depth, mut end) = (0, at + mark.len());
        while end < code.len() {
            match code[end] {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            end += 1;
            if depth == 0 && ['}', ';'].contains(&code[end - 1]) {
                break;
            }
        }
        found.push((at, end));
        at = end;
    }
    found
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let source = parse(
        "//! doc \"no string\"\n\
         let a = \"x \\\" // y\"; /* b /* c */ d */ let e = 'f'; let g: &'h str = r#\"i \" j\"#;\n\
         let k = '\\''; let l = b\"m\"; let r#type = '\"';\n\
         #[cfg(test)]\n\
         mod tests { fn n() { \"o\"; } }\n\
         fn p() {}\n",
    );
    let code: Vec<&str> = source.code.split_whitespace().collect();
    assert_eq!(
        code.join(" "),
        "let a = ; let e = ; let g: &'h str = ; let k = ; let l = b ; let r#type = ; fn p() {}"
    );
    let texts: Vec<(usize, &str)> = source
        .literals
        .iter()
        .map(|literal| (literal.line, literal.text.as_str()))
        .collect();
    assert_eq!(texts, [(2, "x \\\" // y"), (2, "i \" j"), (3, "m")]);
}

#[test]
fn an_unfinished_file_does_not_confuse_the_lexer() {
    for text in ["\"", "r#\"", "'\\", "/* /*", "#[cfg(test)]", "\"\\", "'"] {
        assert_eq!(parse(text).code.chars().count(), text.chars().count(), "{text}");
    }
}
