//! The stories.

/// What happens in a story.
#[derive(Debug)]
pub(super) enum Step {
    /// A person asks.
    Asks(&'static str),
    /// The model calls a tool, with arguments as JSON, and gets what came of it.
    Calls {
        name: &'static str,
        arguments: &'static str,
        gets: &'static str,
    },
    /// The model says something.
    Says(&'static str),
}

/// A story: begins with a question, ends with an answer.
pub(super) struct Story(pub(super) &'static [Step]);

const fn calls(name: &'static str, arguments: &'static str, gets: &'static str) -> Step {
    Step::Calls {
        name,
        arguments,
        gets,
    }
}

use Step::{Asks, Says};

/// Of coding agents.
pub(super) static CODING: [Story; 10] = [
    Story(&[
        Asks(
            "The nightly import of invoices fails since Tuesday with \"invalid date\". Find out why and fix it.",
        ),
        calls(
            "Grep",
            r#"{"pattern":"invalid date","path":"importer/"}"#,
            "importer/parse.py:88:        raise ValueError(f\"invalid date {text!r}\")",
        ),
        calls(
            "Read",
            r#"{"file_path":"importer/parse.py","offset":60,"limit":45}"#,
            "def parse_date(text):\n    for form in (\"%Y-%m-%d\", \"%d.%m.%Y\"):\n        try:\n            return datetime.strptime(text, form).date()\n        except ValueError:\n            continue\n    raise ValueError(f\"invalid date {text!r}\")",
        ),
        calls(
            "Bash",
            r#"{"command":"zgrep -h 'invalid date' logs/import-*.gz | sort | uniq -c | sort -rn | head"}"#,
            "    214 ValueError: invalid date '2026-11-17T00:00:00Z'\n      3 ValueError: invalid date ''",
        ),
        Says(
            "The supplier sends timestamps instead of dates since Tuesday. I will accept ISO 8601 with a time and keep the date; empty dates stay an error.",
        ),
        calls(
            "Edit",
            r#"{"file_path":"importer/parse.py","old_string":"    raise ValueError","new_string":"    try:\n        return datetime.fromisoformat(text).date()\n    except ValueError:\n        pass\n    raise ValueError"}"#,
            "The file importer/parse.py has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"pytest -q tests/test_parse.py"}"#,
            "....................                                                     [100%]\n20 passed in 0.41s",
        ),
        Says(
            "Fixed: `parse_date` now takes timestamps as well. All 20 tests pass; I added none yet. Shall I add one with the supplier's format?",
        ),
        Asks("Yes, and one for the empty date."),
        calls(
            "Edit",
            r#"{"file_path":"tests/test_parse.py","old_string":"def test_german","new_string":"def test_timestamp():\n    assert parse_date(\"2026-11-17T00:00:00Z\") == date(2026, 11, 17)\n\n\ndef test_empty():\n    with pytest.raises(ValueError):\n        parse_date(\"\")\n\n\ndef test_german"}"#,
            "The file tests/test_parse.py has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"pytest -q tests/test_parse.py"}"#,
            "......................                                                   [100%]\n22 passed in 0.43s",
        ),
        Says("Both tests are in and pass. The change is ready for review."),
    ]),
    Story(&[
        Asks("Our checkout page takes four seconds on mobile. Where does the time go?"),
        calls(
            "Bash",
            r#"{"command":"npx lighthouse https://staging.example.com/checkout --only-categories=performance --output=json --quiet | jq '.audits[\"largest-contentful-paint\"].displayValue, .audits[\"total-blocking-time\"].displayValue'"}"#,
            "\"3.9 s\"\n\"1,240 ms\"",
        ),
        calls(
            "Bash",
            r#"{"command":"npm run build -- --stats && npx source-map-explorer dist/checkout.*.js --json | jq '.results[0].files | to_entries | sort_by(-.value.size)[:5]'"}"#,
            "[{\"key\":\"node_modules/moment/moment.js\",\"value\":{\"size\":288411}},{\"key\":\"node_modules/lodash/lodash.js\",\"value\":{\"size\":72430}},{\"key\":\"src/checkout/map.tsx\",\"value\":{\"size\":41022}}]",
        ),
        Says(
            "Two things dominate: moment with all its locales (288 KB) and the map of pickup points, which is loaded although only one customer in ten opens it. I suggest to load the map when its tab is opened and to use the browser's Intl for dates.",
        ),
        Asks("Do the map first."),
        calls(
            "Read",
            r#"{"file_path":"src/checkout/index.tsx"}"#,
            "import { PickupMap } from './map';\n\nexport function Checkout() {\n  const [tab, setTab] = useState<'address' | 'pickup'>('address');\n  return <>{tab === 'pickup' ? <PickupMap /> : <AddressForm />}</>;\n}",
        ),
        calls(
            "Edit",
            r#"{"file_path":"src/checkout/index.tsx","old_string":"import { PickupMap } from './map';","new_string":"const PickupMap = lazy(() => import('./map'));"}"#,
            "The file src/checkout/index.tsx has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"npm test -- --run checkout && npm run build | tail -5"}"#,
            "Test Files  7 passed (7)\n     Tests  41 passed (41)\ndist/checkout.8f2c.js   312 kB",
        ),
        Says(
            "The map is a chunk of its own now; the page's script went from 486 KB to 312 KB and the tests pass. Next would be moment.",
        ),
    ]),
    Story(&[
        Asks(
            "Add a retry with exponential backoff to the webhook sender, at most five attempts, and make it configurable.",
        ),
        calls(
            "Glob",
            r#"{"pattern":"**/webhook*.go"}"#,
            "internal/webhook/sender.go\ninternal/webhook/sender_test.go",
        ),
        calls(
            "Read",
            r#"{"file_path":"internal/webhook/sender.go"}"#,
            "func (s *Sender) Send(ctx context.Context, e Event) error {\n\treq, err := s.request(ctx, e)\n\tif err != nil {\n\t\treturn err\n\t}\n\tres, err := s.client.Do(req)\n\tif err != nil {\n\t\treturn fmt.Errorf(\"webhook: %w\", err)\n\t}\n\tdefer res.Body.Close()\n\treturn check(res)\n}",
        ),
        Says(
            "A few questions of detail before I write it: errors of the connection and 5xx are worth a retry, 4xx are not, except 408 and 429, whose Retry-After I would respect. Each attempt needs a fresh body.",
        ),
        Asks("Agreed. Jitter, please."),
        calls(
            "Write",
            r#"{"file_path":"internal/webhook/retry.go","content":"package webhook\n\n// Retry says how often, and how long apart, an event is sent again.\ntype Retry struct {\n\tAttempts int\n\tFirst time.Duration\n\tMost time.Duration\n}\n"}"#,
            "File created successfully at: internal/webhook/retry.go",
        ),
        calls(
            "Edit",
            r#"{"file_path":"internal/webhook/sender.go","old_string":"res, err := s.client.Do(req)","new_string":"res, err := s.retry.do(ctx, func() (*http.Response, error) { return s.client.Do(req.Clone(ctx)) })"}"#,
            "The file internal/webhook/sender.go has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"go test ./internal/webhook/... -race -count=1"}"#,
            "--- FAIL: TestSend (0.00s)\n    sender_test.go:57: body of the second attempt is empty\nFAIL",
        ),
        Says(
            "The second attempt had no body: `Clone` does not rewind it. I will build the request anew for each attempt.",
        ),
        calls(
            "Edit",
            r#"{"file_path":"internal/webhook/sender.go","old_string":"s.client.Do(req.Clone(ctx))","new_string":"s.attempt(ctx, e)"}"#,
            "The file internal/webhook/sender.go has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"go test ./internal/webhook/... -race -count=1"}"#,
            "ok  \tinternal/webhook\t0.612s",
        ),
        Says(
            "Done: up to five attempts, 200 ms doubling up to 10 s with full jitter, Retry-After wins. It is configured under `webhook.retry`.",
        ),
    ]),
    Story(&[
        Asks("Review the diff of branch feature/tenant-limits against main. Look for races."),
        calls(
            "Bash",
            r#"{"command":"git diff main...feature/tenant-limits --stat && git diff main...feature/tenant-limits -- src/limits.rs"}"#,
            " src/limits.rs | 84 +++++++++\n src/main.rs   |  6 +-\n+    let used = self.used.get(&tenant).copied().unwrap_or(0);\n+    if used + cost > self.limit {\n+        return Err(Limited);\n+    }\n+    self.used.insert(tenant, used + cost);",
        ),
        Says(
            "One real problem: the check and the insertion are two steps on a shared map, so two requests can both see the old value and both pass. An entry that is updated under its lock, or an atomic per tenant, closes the gap. Beside that: `cost` is not checked for overflow, and a tenant is never removed from the map.",
        ),
        Asks("Write the fix with an atomic."),
        calls(
            "Edit",
            r#"{"file_path":"src/limits.rs","old_string":"self.used.insert(tenant, used + cost);","new_string":"used.fetch_update(AcqRel, Acquire, |used| used.checked_add(cost).filter(|sum| *sum <= limit)).map_err(|_| Limited)?;"}"#,
            "The file src/limits.rs has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"cargo test limits"}"#,
            "running 9 tests\ntest limits::tests::two_threads_never_exceed_it ... ok\ntest result: ok. 9 passed; 0 failed",
        ),
        Says(
            "The limit holds under contention now, and there is a test with two threads that failed before.",
        ),
    ]),
    Story(&[
        Asks("Migrate the users table: split full_name into given_name and family_name without downtime."),
        calls(
            "Bash",
            r#"{"command":"psql $DATABASE_URL -c '\\d users' && psql $DATABASE_URL -Atc 'select count(*) from users'"}"#,
            "full_name | text | not null\nemail | citext | not null\n1840233",
        ),
        Says(
            "With 1.8 million rows I would do it in four steps: add the nullable columns, write both from the application, backfill in batches of 5,000, then drop `full_name` a release later. Names with one word go to given_name; I would not guess beyond the last space.",
        ),
        Asks("Sounds right. Write the first migration and the backfill."),
        calls(
            "Write",
            r#"{"file_path":"migrations/0117_names.sql","content":"ALTER TABLE users ADD COLUMN given_name text, ADD COLUMN family_name text;\n"}"#,
            "File created successfully at: migrations/0117_names.sql",
        ),
        calls(
            "Write",
            r#"{"file_path":"scripts/backfill_names.py","content":"BATCH = 5_000\nwhile rows := claim(BATCH):\n    update(rows)\n    time.sleep(0.2)\n"}"#,
            "File created successfully at: scripts/backfill_names.py",
        ),
        calls(
            "Bash",
            r#"{"command":"make test-migrations"}"#,
            "0117_names ... ok (12 ms)\nrollback 0117_names ... ok (9 ms)",
        ),
        Says(
            "Both are there, with a rollback. The backfill takes about eight minutes at this pace and can be stopped at any time.",
        ),
    ]),
    Story(&[
        Asks("Why does the Kubernetes deployment of the search service restart every few hours?"),
        calls(
            "Bash",
            r#"{"command":"kubectl describe pod -l app=search | grep -A6 'Last State' | head -20"}"#,
            "    Last State:     Terminated\n      Reason:       OOMKilled\n      Exit Code:    137\n      Finished:     Thu, 19 Nov 2026 03:12:44 +0000",
        ),
        calls(
            "Bash",
            r#"{"command":"kubectl top pod -l app=search --containers"}"#,
            "POD            NAME     CPU(cores)   MEMORY(bytes)\nsearch-7d9f    search   412m         1871Mi\nsearch-7d9f    sidecar  3m           41Mi",
        ),
        calls(
            "Grep",
            r#"{"pattern":"cache","path":"search/src","output_mode":"files_with_matches"}"#,
            "search/src/suggest/cache.ts",
        ),
        calls(
            "Read",
            r#"{"file_path":"search/src/suggest/cache.ts"}"#,
            "const cache = new Map<string, Suggestion[]>();\n\nexport async function suggest(prefix: string) {\n  const hit = cache.get(prefix);\n  if (hit) return hit;\n  const found = await query(prefix);\n  cache.set(prefix, found);\n  return found;\n}",
        ),
        Says(
            "It is killed for memory: the cache of suggestions has no bound, every prefix that anybody types stays in it. A least-recently-used cache of 50,000 entries would hold about 60 MB.",
        ),
        Asks("Do that, and expose its hit rate as a metric."),
        calls(
            "Edit",
            r#"{"file_path":"search/src/suggest/cache.ts","old_string":"new Map<string, Suggestion[]>()","new_string":"new LRUCache<string, Suggestion[]>({ max: 50_000 })"}"#,
            "The file search/src/suggest/cache.ts has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"npm test -- --run suggest"}"#,
            "Tests  18 passed (18)",
        ),
        Says(
            "Bounded and measured: `suggest_cache_hits_total` and `suggest_cache_misses_total`. I left the memory limit of the pod as it is.",
        ),
    ]),
    Story(&[
        Asks("Bitte erkläre mir, was das Modul `billing/proration` macht, ich bin neu im Team."),
        calls(
            "Read",
            r#"{"file_path":"billing/proration.rb"}"#,
            "# Anteilige Berechnung beim Wechsel des Tarifs\ndef self.credit(subscription, at:)\n  unused = subscription.period_end - at\n  subscription.price * unused / subscription.period_length\nend",
        ),
        Says(
            "Es berechnet Gutschriften, wenn jemand mitten im Monat den Tarif wechselt: Der ungenutzte Teil des Zeitraums wird anteilig gutgeschrieben und mit dem neuen Preis verrechnet. Gerundet wird erst am Ende, auf ganze Cent, zugunsten des Kunden.",
        ),
        Asks("Und was passiert bei einem Wechsel am letzten Tag?"),
        Says(
            "Dann ist der ungenutzte Teil null, die Gutschrift also auch. Es gibt dafür einen Test in `spec/billing/proration_spec.rb`, Zeile 41.",
        ),
    ]),
    Story(&[
        Asks(
            "Write a Terraform module for an S3 bucket with versioning, encryption and a lifecycle that moves objects to Glacier after 90 days.",
        ),
        calls(
            "Glob",
            r#"{"pattern":"modules/*/main.tf"}"#,
            "modules/vpc/main.tf\nmodules/rds/main.tf\nmodules/eks/main.tf",
        ),
        calls(
            "Read",
            r#"{"file_path":"modules/rds/variables.tf"}"#,
            "variable \"name\" {\n  type = string\n}\n\nvariable \"tags\" {\n  type    = map(string)\n  default = {}\n}",
        ),
        calls(
            "Write",
            r#"{"file_path":"modules/bucket/main.tf","content":"resource \"aws_s3_bucket\" \"this\" {\n  bucket = var.name\n  tags   = var.tags\n}\n"}"#,
            "File created successfully at: modules/bucket/main.tf",
        ),
        calls(
            "Bash",
            r#"{"command":"cd modules/bucket && terraform init -backend=false >/dev/null && terraform validate && tflint"}"#,
            "Success! The configuration is valid.",
        ),
        Says(
            "The module follows the others' conventions (name, tags). Versioning and SSE-KMS are on, public access is blocked, and objects go to Glacier after `archive_after_days`, 90 unless set.",
        ),
    ]),
    Story(&[
        Asks("Upgrade us from React 18 to 19 and fix whatever breaks."),
        calls(
            "Bash",
            r#"{"command":"npm install react@19 react-dom@19 && npx tsc --noEmit 2>&1 | tail -15"}"#,
            "src/form/Field.tsx(31,7): error TS2322: Type 'MutableRefObject<undefined>' is not assignable\nsrc/legacy/Tooltip.tsx(12,3): error TS2339: Property 'defaultProps' does not exist\nFound 14 errors in 6 files.",
        ),
        Says(
            "Fourteen type errors in six files, mostly `useRef` without an argument and `defaultProps` of function components. Both have mechanical replacements.",
        ),
        calls(
            "Bash",
            r#"{"command":"npx types-react-codemod@latest preset-19 ./src --yes && npx tsc --noEmit | tail -3"}"#,
            "Found 2 errors in 1 file.",
        ),
        calls(
            "Edit",
            r#"{"file_path":"src/legacy/Tooltip.tsx","old_string":"Tooltip.defaultProps = { placement: 'top' };","new_string":""}"#,
            "The file src/legacy/Tooltip.tsx has been updated.",
        ),
        calls(
            "Bash",
            r#"{"command":"npx tsc --noEmit && npm test -- --run && npm run build"}"#,
            "Test Files  112 passed (112)\n     Tests  873 passed (873)\nbuilt in 9.41s",
        ),
        Says(
            "It builds, and all 873 tests pass. One thing to look at by hand: StrictMode runs ref callbacks twice in development now, which the video player may notice.",
        ),
    ]),
    Story(&[
        Asks("このリポジトリのテストを並列で実行できるようにしてください。"),
        calls(
            "Bash",
            r#"{"command":"grep -rn 'port=' tests/ | head"}"#,
            "tests/conftest.py:14:    server = start(port=8080)\ntests/test_api.py:9:BASE = 'http://localhost:8080'",
        ),
        Says(
            "テストがポート8080を固定で使っているため、並列では衝突します。空いているポートを使うfixtureに変更します。",
        ),
        calls(
            "Edit",
            r#"{"file_path":"tests/conftest.py","old_string":"start(port=8080)","new_string":"start(port=0)"}"#,
            "The file tests/conftest.py has been updated.",
        ),
        calls("Bash", r#"{"command":"pytest -q -n 4"}"#, "148 passed in 21.07s"),
        Says("4並列で全148件が通り、時間は74秒から21秒になりました。"),
    ]),
];

/// Of chats.
pub(super) static CHATS: [Story; 10] = [
    Story(&[
        Asks("Draft a polite reminder to a customer whose invoice is 14 days overdue."),
        Says(
            "Subject: Invoice 2026-1184: a friendly reminder\n\nDear Ms Okafor,\n\nour records show that invoice 2026-1184 of 1 November over EUR 2,430.00 is still open. If your payment has crossed this letter, please disregard it. Otherwise we would be grateful for a transfer by 29 November.\n\nKind regards",
        ),
        Asks("A bit warmer, she has been with us for eight years."),
        Says(
            "Dear Ms Okafor,\n\nthank you for eight years of working together. One small thing has slipped through: invoice 2026-1184 of 1 November is still open. Could you have a look when you find a moment? If anything about it is unclear, just call me.\n\nWarm regards",
        ),
    ]),
    Story(&[
        Asks("Summarise the attached incident report for the management in five sentences."),
        Says(
            "On 12 November between 09:14 and 10:02 UTC about eight per cent of payments failed. The cause was an expired certificate of the card processor's gateway, which our monitoring did not watch. The team on call switched to the second processor after 31 minutes. No payment was booked twice and 212 customers were contacted. Certificates of partners are now checked daily, and the switch to the second processor is automatic from next week on.",
        ),
    ]),
    Story(&[
        Asks("Which SQL do I need for the monthly active users of the last year, by plan?"),
        calls(
            "describe_table",
            r#"{"table":"events"}"#,
            "user_id bigint, at timestamptz, kind text, plan text",
        ),
        Says(
            "SELECT date_trunc('month', at) AS month, plan, count(DISTINCT user_id) AS active\nFROM events\nWHERE at >= date_trunc('month', now()) - interval '12 months'\nGROUP BY 1, 2\nORDER BY 1, 2;",
        ),
        Asks("It takes two minutes. Can it be faster?"),
        calls(
            "explain",
            r#"{"sql":"SELECT date_trunc('month', at) AS month, plan, count(DISTINCT user_id) FROM events GROUP BY 1, 2"}"#,
            "GroupAggregate (actual time=118233.1..121002.8)\n  -> Sort (external merge Disk: 4822312kB)\n    -> Seq Scan on events",
        ),
        Says(
            "It sorts five gigabytes on disk. Keep a table of (month, plan, user_id) that the nightly job fills, and count from that; or raise work_mem for this query and count in two steps: first distinct (month, plan, user_id), then the groups.",
        ),
    ]),
    Story(&[
        Asks("Translate into French for our website: 'Your parcel arrives tomorrow between 2 and 4 pm.'"),
        Says("« Votre colis arrivera demain entre 14 h et 16 h. »"),
        Asks("And into Spanish and Polish."),
        Says(
            "Spanish: «Su paquete llegará mañana entre las 14 y las 16 h.»\nPolish: „Twoja paczka dotrze jutro między 14:00 a 16:00.”",
        ),
    ]),
    Story(&[
        Asks(
            "What should a job advert for a site reliability engineer say so that more people apply who are not like us?",
        ),
        Says(
            "Name what the work is instead of a list of tools, keep requirements to the four or five that matter, say the salary and the on-call terms, and say that you teach what is missing. Words like 'rockstar' or 'dominate' put many people off. I can rewrite your draft along these lines.",
        ),
        Asks(
            "Here it is: 'We look for a rockstar SRE with 8+ years of Kubernetes who thrives under pressure.'",
        ),
        Says(
            "'You keep our services up for 40,000 customers, together with a team of six. You know how to find out why a distributed system is slow, and you write down what you learn. On call is one week in seven, paid, and quiet on most nights. We use Kubernetes; if you have run something else, we show you. EUR 78,000 to 96,000.'",
        ),
    ]),
    Story(&[
        Asks("Plan a two-day workshop about threat modelling for twelve developers."),
        calls(
            "calendar_free",
            r#"{"people":12,"days":2,"from":"2026-12-01"}"#,
            "2026-12-09, 2026-12-10",
        ),
        Says(
            "Day one: what we protect and from whom (90 minutes), data flow diagrams of two of your own systems (3 hours), STRIDE by example. Day two: teams of three model one system each, present and attack each other's models; the last hour turns findings into tickets with owners. Everybody is free on 9 and 10 December.",
        ),
    ]),
    Story(&[
        Asks("Is it legal to log the full text of customers' chats?"),
        Says(
            "It depends on where your customers live and what you tell them. In the EU you need a legal basis, a purpose, and a time after which the texts go; people may ask for theirs. In practice: keep texts only where you need them for support, mask personal data first, and delete them after a fixed time. Please ask your data protection officer before you begin; I am not a lawyer.",
        ),
        Asks("How would masking work?"),
        Says(
            "Detectors for e-mail addresses, phone numbers, IBANs and card numbers with their check digits catch most; names are harder and need a model. Mask before texts are stored, not when they are shown.",
        ),
    ]),
    Story(&[
        Asks(
            "Explain the difference between gross margin and contribution margin to a new colleague in sales.",
        ),
        Says(
            "Gross margin is what is left of a price after the cost of making the thing. Contribution margin also takes off what each sale itself costs: commission, payment fees, shipping. So a product can have a fine gross margin and still contribute little, because it is expensive to sell.",
        ),
    ]),
    Story(&[
        Asks(
            "Classify these tickets: 1) 'cannot log in since the update' 2) 'please change my billing address' 3) 'your app is great!'",
        ),
        calls(
            "classify",
            r#"{"labels":["access","billing","feedback","bug"],"tickets":3}"#,
            "access, billing, feedback",
        ),
        Says("1) access, probably a bug of the update: high\n2) billing: normal\n3) feedback: no action"),
        Asks("And 4) 'I was charged twice and nobody answers'"),
        Says("4) billing, high: a double charge and a customer who waits. Suggest a callback today."),
    ]),
    Story(&[
        Asks("¿Puedes resumir las notas de la reunión con Logística en tres puntos?"),
        Says(
            "1. El nuevo almacén de Zaragoza abre el 15 de enero; el inventario se traslada en dos fases.\n2. El transportista actual sube precios un 6 %; Compras pide ofertas a otros tres.\n3. Faltan etiquetas para envíos a Suiza: Marta lo resuelve antes del viernes.",
        ),
    ]),
];
