//! Reading a request body.

use super::{Call, Fault, Params, Value};
use crate::xml::reader::{Broken, Item, Pull, Tag, is_blank, join};
use base64::Engine as _;
use std::borrow::Cow;

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the body.
    pub bytes: usize,
    /// Most arrays and structs around a value, at most [`Limits::DEEPEST`].
    pub depth: usize,
    /// Most parameters of a call.
    pub params: usize,
    /// Most values in the whole body, counting arrays, structs and everything in them.
    pub values: usize,
    /// Most calls in one `system.multicall`.
    pub calls: usize,
}

impl Limits {
    /// Values never nest deeper than this, whatever [`Limits::depth`] says: they are read, compared and dropped by
    /// functions that call themselves.
    pub const DEEPEST: usize = 64;

    /// Longest name of a method or of a struct's member, in bytes.
    const LONGEST_NAME: usize = 256;
}

impl Default for Limits {
    /// 16 MiB, depth 16, 64 parameters, 65,536 values, 1,024 calls.
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 16, params: 64, values: 65_536, calls: 1_024 }
    }
}

/// Decodes the body of a request.
///
/// The encoding is UTF-8, whatever the XML declaration says.
///
/// # Errors
/// [`Fault::LIMIT`] when a limit is exceeded, [`Fault::UTF8`] when the bytes are not UTF-8, [`Fault::PARSE`] when they
/// are not an XML-RPC call, [`Fault::TYPE`] when a value does not fit its type.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Call, Fault> {
    if body.len() > limits.bytes {
        return Err(limit(format!("The request has {} bytes, and at most {} are accepted.", body.len(), limits.bytes)));
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        Fault::new(Fault::UTF8, format!("The request is not UTF-8: byte {} is wrong.", error.valid_up_to() + 1))
    })?;
    let depth = limits.depth.min(Limits::DEEPEST);
    // Around a value: `methodCall`, `params`, `param`; per array `value`, `array`, `data`, per struct `value`,
    // `struct`, `member`; then `value`, its type, and one that is too deep, found by the count of values first.
    let pull = Pull::new(text, 3 + 3 * (depth + 1) + 3);
    Decoder { pull, limits: *limits, depth, values: 0 }.call()
}

/// The calls in the parameters of `system.multicall`: one array of structs with `methodName` and `params`. A call that
/// is wrong gets its own fault and leaves the others alone.
///
/// # Errors
/// When the parameters have another shape, or there are more calls than [`Limits::calls`].
pub fn multicall(params: Params, limits: &Limits) -> Result<Vec<Result<Call, Fault>>, Fault> {
    let mut values = params.into_values();
    if values.is_empty() {
        return Err(Fault::new(Fault::INDEX, "Parameter 1 is missing: it must be an array of calls."));
    }
    let calls = match values.swap_remove(0) {
        Value::Array(calls) => calls,
        other => {
            let message = format!("Parameter 1 is {}, and must be an array of calls.", other.kind());
            return Err(Fault::new(Fault::TYPE, message));
        }
    };
    if calls.len() > limits.calls {
        return Err(limit(format!(
            "The request has {} calls, and at most {} are accepted at once.",
            calls.len(),
            limits.calls
        )));
    }
    Ok(calls.into_iter().map(|call| inner_call(call, limits)).collect())
}

fn inner_call(call: Value, limits: &Limits) -> Result<Call, Fault> {
    let Value::Struct(members) = call else {
        let message = format!("A call of a multicall is {}, and must be a struct.", call.kind());
        return Err(Fault::new(Fault::TYPE, message));
    };
    let (mut method, mut params) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("methodName", Value::Text(text)) => method = Some(text),
            ("params", Value::Array(values)) => params = Some(values),
            ("methodName" | "params", other) => {
                let message = format!("{name} of a call in a multicall is {}: it has the wrong type.", other.kind());
                return Err(Fault::new(Fault::TYPE, message));
            }
            _ => {}
        }
    }
    let (Some(method), Some(params)) = (method, params) else {
        return Err(Fault::new(Fault::INDEX, "A call of a multicall needs methodName and params."));
    };
    if method == "system.multicall" {
        return Err(Fault::new(Fault::REFUSED, "A multicall cannot hold a multicall. List its calls one by one."));
    }
    check_name(&method)?;
    if params.len() > limits.params {
        return Err(too_many_params(limits.params));
    }
    Ok(Call { method, params: Params::from(params) })
}

struct Decoder<'a> {
    pull: Pull<'a>,
    limits: Limits,
    depth: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    fn call(mut self) -> Result<Call, Fault> {
        self.expect("methodCall")?;
        self.expect("methodName")?;
        let method = self.text()?.into_owned();
        check_name(&method)?;
        let mut params = Vec::new();
        if let Some(tag) = self.element()? {
            named(&tag, "params")?;
            while let Some(tag) = self.element()? {
                named(&tag, "param")?;
                if params.len() == self.limits.params {
                    return Err(too_many_params(self.limits.params));
                }
                self.expect("value")?;
                params.push(self.value(0)?);
                self.close()?;
            }
            self.close()?;
        }
        match self.next()? {
            Item::End => Ok(Call { method, params: Params::from(params) }),
            _ => Err(malformed()),
        }
    }

    /// The rest of a `value` element, of which the start tag is read.
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(limit(format!(
                "The request has more than {} values. Split it into several calls.",
                self.limits.values
            )));
        }
        let mut text = Cow::Borrowed("");
        let tag = loop {
            match self.next()? {
                Item::Text(piece) => join(&mut text, piece),
                Item::Close => return Ok(Value::Text(text.into_owned())),
                Item::Open(tag) if is_blank(&text) => break tag,
                Item::Open(_) | Item::End => return Err(malformed()),
            }
        };
        let value = match tag.name() {
            "string" | "dateTime.iso8601" => Value::Text(self.text()?.into_owned()),
            "i4" | "int" => Value::Int(i64::from(
                self.text()?.parse::<i32>().map_err(|_| type_error("an i4 or int is no integer of 32 bits"))?,
            )),
            "i8" => Value::Int(self.text()?.parse().map_err(|_| type_error("an i8 is no integer of 64 bits"))?),
            "boolean" => match &*self.text()? {
                "0" => Value::Bool(false),
                "1" => Value::Bool(true),
                _ => return Err(type_error("a boolean is neither 0 nor 1")),
            },
            "double" => Value::Double(double(&self.text()?)?),
            "base64" => Value::Text(base64_text(&self.text()?)?),
            "nil" => {
                if !is_blank(&self.text()?) {
                    return Err(type_error("a nil has content"));
                }
                Value::Nil
            }
            "array" => {
                self.deeper(depth)?;
                Value::Array(self.array(depth + 1)?)
            }
            "struct" => {
                self.deeper(depth)?;
                Value::Struct(self.members(depth + 1)?)
            }
            _ => {
                return Err(parse(
                    "A value has a type that XML-RPC does not know. Use i4, int, i8, boolean, string, double, base64, \
                     dateTime.iso8601, array, struct or nil.",
                ));
            }
        };
        self.close()?;
        Ok(value)
    }

    /// The rest of an `array` element.
    fn array(&mut self, depth: usize) -> Result<Vec<Value>, Fault> {
        self.expect("data")?;
        let mut values = Vec::new();
        while let Some(tag) = self.element()? {
            named(&tag, "value")?;
            values.push(self.value(depth)?);
        }
        self.close()?;
        Ok(values)
    }

    /// The rest of a `struct` element.
    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Fault> {
        let mut members = Vec::new();
        while let Some(tag) = self.element()? {
            named(&tag, "member")?;
            self.expect("name")?;
            let name = self.text()?.into_owned();
            if name.len() > Limits::LONGEST_NAME {
                return Err(limit("The name of a struct's member is longer than 256 bytes. Shorten it.".to_owned()));
            }
            self.expect("value")?;
            members.push((name, self.value(depth)?));
            self.close()?;
        }
        Ok(members)
    }

    fn deeper(&self, depth: usize) -> Result<(), Fault> {
        if depth >= self.depth { Err(too_deep(self.depth)) } else { Ok(()) }
    }

    fn next(&mut self) -> Result<Item<'a>, Fault> {
        let depth = self.depth;
        self.pull.next().map_err(|broken| match broken {
            Broken::Malformed => malformed(),
            Broken::Depth => too_deep(depth),
        })
    }

    /// The text of the element that was opened last, which must hold nothing else, up to and with its end tag.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.next()? {
                Item::Text(piece) => join(&mut text, piece),
                Item::Close => return Ok(text),
                Item::Open(_) | Item::End => return Err(malformed()),
            }
        }
    }

    /// The next child element, or `None` at the end tag of the parent.
    fn element(&mut self) -> Result<Option<Tag<'a>>, Fault> {
        loop {
            match self.next()? {
                Item::Open(tag) => return Ok(Some(tag)),
                Item::Close => return Ok(None),
                Item::Text(text) if is_blank(&text) => {}
                Item::Text(_) | Item::End => return Err(malformed()),
            }
        }
    }

    /// The start tag of the element that must come now.
    fn expect(&mut self, name: &'static str) -> Result<(), Fault> {
        match self.element()? {
            Some(tag) => named(&tag, name),
            None => Err(missing(name)),
        }
    }

    /// The end tag that must come now.
    fn close(&mut self) -> Result<(), Fault> {
        if self.element()?.is_some() { Err(malformed()) } else { Ok(()) }
    }
}

fn named(tag: &Tag<'_>, name: &'static str) -> Result<(), Fault> {
    if tag.name() == name { Ok(()) } else { Err(missing(name)) }
}

/// Names of methods as XML-RPC allows them.
fn check_name(method: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'/');
    if method.is_empty() || method.len() > Limits::LONGEST_NAME || !method.bytes().all(allowed) {
        return Err(parse("The method's name is not one of 1 to 256 letters, digits and the characters _ . : /"));
    }
    Ok(())
}

fn double(text: &str) -> Result<f64, Fault> {
    // The words that Rust reads as numbers ("inf", "nan") are none here.
    let plausible = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if plausible && value.is_finite() => Ok(value),
        _ => Err(type_error("a double is no decimal number")),
    }
}

fn base64_text(text: &str) -> Result<String, Fault> {
    let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|_| type_error("a base64 value is not Base64"))?;
    String::from_utf8(bytes)
        .map_err(|_| Fault::new(Fault::UTF8, "A base64 value is not UTF-8 text. Methods take text only."))
}

fn limit(message: String) -> Fault {
    Fault::new(Fault::LIMIT, message)
}

fn too_many_params(most: usize) -> Fault {
    limit(format!("The call has more than {most} parameters. Leave out what the method does not take."))
}

fn too_deep(most: usize) -> Fault {
    limit(format!("The request nests arrays and structs deeper than {most} levels. Flatten it."))
}

fn type_error(what: &str) -> Fault {
    Fault::new(Fault::TYPE, format!("A value of the request does not fit its type: {what}."))
}

fn parse(message: impl Into<String>) -> Fault {
    Fault::new(Fault::PARSE, message)
}

fn malformed() -> Fault {
    parse("The request is not an XML-RPC call: its XML is not well-formed, or an element is where it does not belong.")
}

fn missing(name: &str) -> Fault {
    parse(format!("The request is not an XML-RPC call: <{name}> is not where it belongs."))
}
