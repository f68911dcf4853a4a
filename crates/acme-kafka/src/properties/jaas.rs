//! `sasl.jaas.config`: `CLASS FLAG option="value" option=value;`.

/// The login module and its options. The values may be secrets: no error here shows any.
pub(super) struct Jaas {
    /// The last part of the module's class name.
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl Jaas {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut words = words(text)?.into_iter();
        let class = words.next().ok_or("it is empty")?;
        let flag = words.next().ok_or("the word `required` is missing")?;
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.to_lowercase().as_str()) {
            return Err("the word after the class is not `required`");
        }
        let mut options = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').ok_or("an option is not name=\"value\"")?;
            options.push((name.to_owned(), value.to_owned()));
        }
        let module = class.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Self { module, options })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Options whose names begin so, without that beginning.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let short =
            move |(name, value): &'a (String, String)| Some((name.strip_prefix(prefix)?, value.as_str()));
        self.options.iter().filter_map(short)
    }
}

/// The words up to the semicolon; quotes hold spaces and semicolons, a backslash the next character.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.trim().chars();
    let mut ended = false;
    // The last character is an equals sign outside of quotes: the value is still to come.
    let mut open = false;
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some(_)) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                (quote, open) = (Some(c), false);
                word.get_or_insert_default();
            }
            (';', None) => {
                ended = true;
                break;
            }
            (c, None) if c.is_whitespace() => {
                // `name = "value"` is written by some.
                let next_is_equals = chars.as_str().trim_start().starts_with('=');
                if !open && !next_is_equals {
                    words.extend(word.take());
                }
            }
            (c, None) => {
                word.get_or_insert_default().push(c);
                open = c == '=';
            }
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    if !ended {
        return Err("the semicolon at the end is missing");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_and_options_are_read() {
        let text = r#"org.apache.kafka.common.security.plain.PlainLoginModule required
            username="al ice" password = "p;\"w=" x=1 ;"#;
        let jaas = Jaas::parse(text).ok().unwrap();
        assert_eq!(jaas.module, "PlainLoginModule");
        assert_eq!(jaas.get("username"), Some("al ice"));
        assert_eq!(jaas.get("password"), Some("p;\"w="));
        assert_eq!(jaas.get("x"), Some("1"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (text, expected) in [
            ("", "the semicolon at the end is missing"),
            ("a.B required password=\"x\"", "the semicolon at the end is missing"),
            ("a.B password=\"x\";", "the word after the class is not `required`"),
            ("a.B required password=\"x;", "a quote is not closed"),
        ] {
            assert_eq!(Jaas::parse(text).err(), Some(expected), "{text}");
        }
    }
}
