//! Who asks: people with names, and devices with tags.

use super::Shape;
use super::draw::{Draw, sums};
use super::hours::REGIONS;
use super::work::Client;

/// Somebody who asks.
#[derive(Clone, Debug)]
pub struct Person {
    /// Login; of a device its tags, sorted, joined by commas.
    pub login: String,
    /// Tags of a device.
    pub tags: Vec<String>,
    /// Stable node id.
    pub node: String,
    /// Index of the region.
    pub(super) region: usize,
    /// From which part of the time on, of 1, he uses it.
    pub(super) joined: f64,
    /// What he uses most.
    pub(super) client: Client,
}

impl Person {
    /// Nobody that is known.
    pub(super) const fn nobody() -> Self {
        Self {
            login: String::new(),
            tags: Vec::new(),
            node: String::new(),
            region: 0,
            joined: 0.0,
            client: Client::Chat,
        }
    }
}

/// Everybody.
#[derive(Debug)]
pub struct Organisation {
    /// The most active first.
    pub people: Vec<Person>,
    /// Of each region: who is in it, and sums of their activity.
    regions: Vec<(Vec<usize>, Vec<f64>)>,
}

const FIRST: [&str; 80] = [
    "alice",
    "bogdan",
    "chiara",
    "daniel",
    "elif",
    "farid",
    "grace",
    "hiroshi",
    "ingrid",
    "jamal",
    "katarzyna",
    "liam",
    "mei",
    "nadia",
    "oluwaseun",
    "priya",
    "quentin",
    "rosa",
    "sven",
    "tomoko",
    "usha",
    "viktor",
    "wanjiru",
    "ximena",
    "yusuf",
    "zoe",
    "amara",
    "bjorn",
    "carmen",
    "dmitri",
    "esther",
    "fatima",
    "giulia",
    "hassan",
    "ivana",
    "joao",
    "kwame",
    "leila",
    "mateo",
    "nguyen",
    "olga",
    "pedro",
    "qing",
    "ravi",
    "saoirse",
    "thabo",
    "ulrike",
    "valentina",
    "william",
    "xavier",
    "yara",
    "zhang",
    "anna",
    "ben",
    "clara",
    "david",
    "emma",
    "felix",
    "georgia",
    "henrik",
    "isabel",
    "jonas",
    "kofi",
    "laura",
    "marta",
    "noah",
    "oscar",
    "paula",
    "rahul",
    "sofia",
    "tariq",
    "uma",
    "vera",
    "wei",
    "yuki",
    "zara",
    "andre",
    "beatriz",
    "cem",
    "dana",
];

const LAST: [&str; 72] = [
    "abebe",
    "ahmed",
    "almeida",
    "andersson",
    "bauer",
    "becker",
    "bianchi",
    "brown",
    "campos",
    "chen",
    "cohen",
    "costa",
    "das",
    "diaz",
    "dubois",
    "eriksen",
    "evans",
    "fernandez",
    "fischer",
    "garcia",
    "ghosh",
    "gomez",
    "gupta",
    "haddad",
    "hansen",
    "hernandez",
    "ito",
    "ivanov",
    "jansen",
    "johnson",
    "kamau",
    "kang",
    "keller",
    "khan",
    "kim",
    "kowalski",
    "kumar",
    "larsen",
    "lee",
    "lopez",
    "mbeki",
    "meyer",
    "mori",
    "moreau",
    "murphy",
    "nakamura",
    "nguyen",
    "novak",
    "obi",
    "okafor",
    "oliveira",
    "patel",
    "pereira",
    "popov",
    "reyes",
    "rossi",
    "saito",
    "santos",
    "schmidt",
    "silva",
    "singh",
    "smith",
    "suzuki",
    "tanaka",
    "torres",
    "tran",
    "vargas",
    "wagner",
    "weber",
    "wilson",
    "yilmaz",
    "zhao",
];

const DEVICES: [(&str, Client); 8] = [
    ("ci", Client::Headless),
    ("search-indexer", Client::Embedder),
    ("support-bot", Client::Script),
    ("nightly-eval", Client::Script),
    ("code-review", Client::Headless),
    ("translation", Client::Script),
    ("data-pipeline", Client::Embedder),
    ("helpdesk", Client::Script),
];

impl Organisation {
    /// The people of a shape.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn new(shape: &Shape) -> Self {
        let mut draw = Draw::new(shape.seed ^ 0x7065_6f70_6c65);
        let region_sums = sums(REGIONS.map(|(_, share)| share));
        let people: Vec<Person> = (0..shape.users.max(1))
            .map(|rank| person(usize::try_from(rank).unwrap_or(0), &mut draw, &region_sums))
            .collect();
        let weight = |rank: usize| 1.0 / (rank as f64 + 3.0).powf(0.85);
        let regions = (0..REGIONS.len())
            .map(|region| {
                let here: Vec<usize> = (0..people.len())
                    .filter(|at| people.get(*at).is_some_and(|person| person.region == region))
                    .collect();
                let sums = sums(here.iter().map(|rank| weight(*rank)));
                (here, sums)
            })
            .collect();
        Self { people, regions }
    }

    /// Somebody in a region who uses it at a part of the time; where nobody does, the most active of all.
    pub(super) fn somebody(&self, region: usize, part: f64, draw: &mut Draw) -> usize {
        let Some((here, sums)) = self.regions.get(region).filter(|(here, _)| !here.is_empty()) else {
            return 0;
        };
        for _ in 0..4 {
            let at = here.get(draw.place(sums)).copied().unwrap_or(0);
            if self.people.get(at).is_some_and(|person| person.joined <= part) {
                return at;
            }
        }
        0
    }
}

fn person(rank: usize, draw: &mut Draw, regions: &[f64]) -> Person {
    let region = draw.place(regions);
    // Every sixtieth is a machine; machines and the most active were there from the beginning.
    let device = rank % 60 == 29;
    let joined = if device || rank < 20 || draw.happens(0.55) {
        0.0
    } else {
        draw.share()
    };
    let node = format!("n{:012x}CNTRL", draw.next() >> 16);
    if device {
        let number = rank / 60;
        let (name, client) = DEVICES[number % DEVICES.len()];
        let name = if number < DEVICES.len() {
            format!("tag:{name}")
        } else {
            format!("tag:{name}-{}", number / DEVICES.len() + 1)
        };
        let tags = if number.is_multiple_of(3) {
            vec![name, "tag:prod".to_owned()]
        } else {
            vec![name]
        };
        return Person {
            login: tags.join(","),
            tags,
            node,
            region,
            joined,
            client,
        };
    }
    let kinds = sums([0.46, 0.13, 0.07, 0.05, 0.17, 0.12]);
    let client = [
        Client::ClaudeCode,
        Client::Codex,
        Client::GeminiCli,
        Client::Opencode,
        Client::Chat,
        Client::Notebook,
    ][draw.place(&kinds)];
    // The most active are told apart at a glance.
    let login = if rank < 26 {
        format!("{}@example.com", FIRST[rank])
    } else {
        let pairs = FIRST.len() * LAST.len();
        // A step without a common divisor goes through all pairs before one comes again.
        let pair = rank * 1_009 % pairs;
        let number = match rank / pairs {
            0 => String::new(),
            round => (round + 1).to_string(),
        };
        format!(
            "{}.{}{number}@example.com",
            FIRST[pair % FIRST.len()],
            LAST[pair / FIRST.len()]
        )
    };
    Person {
        login,
        tags: Vec::new(),
        node,
        region,
        joined,
        client,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn everybody_has_a_login_of_his_own() {
        let shape = Shape {
            requests: 1,
            users: 10_000,
            days: 1,
            captures: 0,
            seed: 1,
            end: 0,
        };
        let organisation = Organisation::new(&shape);
        let logins: HashSet<&str> = organisation.people.iter().map(|p| p.login.as_str()).collect();
        assert_eq!(logins.len(), 10_000);
        assert!(logins.contains("alice@example.com"));
        let devices = organisation.people.iter().filter(|p| !p.tags.is_empty()).count();
        assert!((100..300).contains(&devices));
        let mut draw = Draw::new(3);
        let mut first = 0;
        for _ in 0..10_000 {
            let at = organisation.somebody(0, 1.0, &mut draw);
            assert_eq!(organisation.people[at].region, 0);
            first += usize::from(at < 100);
        }
        assert!(
            (1_000..5_000).contains(&first),
            "a hundredth does a quarter: {first}"
        );
    }
}
