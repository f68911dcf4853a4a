//! The format of `java.util.Properties`.

/// Names and values of a file.
pub(super) fn entries(text: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    let mut lines = text.lines();
    while let Some(first) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut line = first.to_owned();
        while ends_open(&line) {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        entries.push(entry(&line));
    }
    entries
}

/// True if an odd number of backslashes ends the line: it goes on in the next one.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn entry(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_ascii_whitespace());
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (unescaped(line), String::new()) };
    let rest = line[end..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescaped(&line[..end]), unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(c) => {
                        plain.push(c);
                        chars.nth(3);
                    }
                    None => plain.push('u'),
                }
            }
            Some(c) => plain.push(c),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# c\n! c\n\n a = 1 \nb:2\nc 3\nd=x\\\n   y\ne=a\\=b\\u0041\\t\npath=C:\\\\x\nempty\n";
        let entries = entries(text);
        let expected = [
            ("a", "1 "),
            ("b", "2"),
            ("c", "3"),
            ("d", "xy"),
            ("e", "a=bA\t"),
            ("path", "C:\\x"),
            ("empty", ""),
        ];
        assert_eq!(entries, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
