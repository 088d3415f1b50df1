//! One capture as its lines.

use std::borrow::Cow;

use anyhow::Result;
use reassemble_formats::write::{
    Direction, LineLimit, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail, Why,
};

use super::bodies::{Bodies, Body};
use super::random::Random;

/// The services, with host and process.
const SERVICES: [(&str, &str, &str); 3] = [
    ("storefront", "web-1", "5f2a9c01d3e4b7a6"),
    ("checkout", "pay-2", "a81d03c2965be7f4"),
    ("catalog", "cat-1", "0c7be1f2a4d89536"),
];

/// Makes captures one after the other.
pub(super) struct Captures {
    pub(super) bodies: Bodies,
    made: [u64; SERVICES.len()],
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl Captures {
    pub(super) fn new(random: &mut Random) -> Captures {
        Captures { bodies: Bodies::new(random), made: [0; SERVICES.len()] }
    }

    pub(super) fn made(&self) -> u64 {
        self.made.iter().sum()
    }

    /// The lines of the next capture, which begins at this microsecond since 1970: request and response, one after the other.
    pub(super) fn next(&mut self, random: &mut Random, ts_us: i64, lines: &mut Vec<u8>) -> Result<()> {
        let index = random.index(SERVICES.len());
        let (service, host, inst) = SERVICES[index];
        self.made[index] += 1;
        let (id, trace) = (uuid_v7(random, ts_us), traceparent(random));
        let has_body = random.percent(50);
        let asked = has_body.then(|| self.bodies.body(random));
        let answered = self.bodies.body(random);
        let path = format!(
            "http://{service}.shop.test/{}/{}?page={}",
            self.bodies.word(random),
            random.below(100_000),
            random.below(50)
        );
        let mut headers = pairs(&[
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip, br"),
            ("Authorization", "[redacted]"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/142.0"),
        ]);
        headers.push(("Host".into(), format!("{service}.shop.test").into()));
        headers.push(("X-Request-Id".into(), trace[3..35].to_owned().into()));
        if let Some(body) = &asked {
            headers.extend(body_headers(body));
        }
        let head = RequestHead {
            ts_us: Some(ts_us),
            service: service.into(),
            host: host.into(),
            inst: inst.into(),
            n: Some(self.made[index]),
            dir: Some(Direction::In),
            proto: "http/1.1".into(),
            method: if has_body { "POST" } else { "GET" }.into(),
            url: path.into(),
            headers: Some(headers),
            peer: format!("10.1.{}.{}:{}", random.below(256), random.below(256), 32_768 + random.below(28_000)).into(),
            trace: trace.as_str().into(),
            rate: Some(1.0),
            why: Some(Why::All),
            ..RequestHead::default()
        };
        let bytes = asked.as_ref().map_or(&[][..], |body| &body.bytes);
        write_part(&id, PartTag::Req, head.to_json(), bytes, 40 + random.below(300), lines)?;

        let us = 300 + random.below(40_000);
        let status = match random.below(100) {
            0..94 => 200,
            94..97 => 404,
            97..99 => 302,
            _ => 500,
        };
        let mut headers =
            pairs(&[("cache-control", "no-store"), ("server", "shop/2.3.1"), ("vary", "accept-encoding")]);
        headers.extend(body_headers(&answered));
        let head = ResponseHead {
            ts_us: Some(ts_us + us.cast_signed()),
            us: Some(us),
            status: Some(Status::Code(status)),
            headers: Some(headers),
            ..ResponseHead::default()
        };
        write_part(&id, PartTag::Res, head.to_json(), &answered.bytes, us + random.below(2_000), lines)
    }
}

fn pairs(from: &[(&'static str, &'static str)]) -> Pairs<'static> {
    from.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn body_headers(body: &Body) -> Pairs<'static> {
    vec![
        ("content-length".into(), body.bytes.len().to_string().into()),
        ("content-type".into(), body.content_type.into()),
    ]
}

fn write_part(id: &str, part: PartTag, head: String, body: &[u8], us: u64, lines: &mut Vec<u8>) -> Result<()> {
    let mut writer = PartWriter::new(id, part, head, LineLimit::DEFAULT)?;
    writer.body(body, lines);
    writer.finish(&Tail { us: Some(us), ..Tail::default() }, lines);
    Ok(())
}

/// A UUIDv7 of this time, its random bits from the seed.
fn uuid_v7(random: &mut Random, ts_us: i64) -> String {
    let ms = u128::from(ts_us.unsigned_abs() / 1000);
    let (a, b) = (u128::from(random.below(1 << 12)), u128::from(random.below(1 << 62)));
    let bits = ms << 80 | 7 << 76 | a << 64 | 2 << 62 | b;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn traceparent(random: &mut Random) -> String {
    format!("00-{:016x}{:016x}-{:016x}-01", random.next(), random.next(), random.next())
}
