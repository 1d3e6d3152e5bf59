//! A process that ends between any two steps, or after the receiver took something and before it said so.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::*;

/// Objects by name, as a bucket keeps them.
fn objects(received: &Received) -> BTreeMap<String, Batch> {
    let all = received.all().into_iter();
    all.map(|batch| (super::super::s3::object_name("p", &batch, ""), batch))
        .collect()
}

/// Steps until there is nothing to do.
async fn to_the_end(exporter: &mut Exporter) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let step = exporter.step().await.unwrap();
        if step == Step::Idle {
            return steps;
        }
        steps.push(step);
    }
}

/// Every id is in exactly one object, and in one message at least; what came twice is the same.
fn check(received: &Received, sent: &BTreeSet<RequestId>, when: &str) {
    let messages: BTreeSet<RequestId> = received.ids().into_iter().collect();
    assert_eq!(messages, *sent, "{when}: none is missing");
    let objects = objects(received);
    let stored: Vec<RequestId> = objects
        .values()
        .flat_map(Batch::requests)
        .map(|request| request.record.request_id)
        .collect();
    assert_eq!(stored.len(), sent.len(), "{when}: each is in one object");
    for batch in received.all() {
        let name = super::super::s3::object_name("p", &batch, "");
        assert_eq!(objects[&name], batch, "{when}: {name} is the same each time");
    }
}

#[tokio::test]
async fn a_process_may_end_after_every_step() {
    // Seven records, three a batch: three batches of five steps.
    let mut killed = BTreeSet::new();
    for life in 1..=15 {
        let world = World::new().await;
        world.wants(&[("e", Wants::REQUESTS)]).await;
        let mut sent = world.records(1..=7).await;
        let received = Received::default();
        let mut first = world.worker("e", Told(received.clone(), takes));
        for _ in 0..life {
            killed.insert(format!("{:?}", first.step().await.unwrap()));
        }
        drop(first);
        let world = world.again().await;
        // Life goes on: more is there when the next process begins.
        sent.extend(world.records(8..=9).await);
        let mut second = world.worker("e", Told(received.clone(), takes));
        to_the_end(&mut second).await;
        check(&received, &sent, &format!("killed after {life} steps"));
        let place = world.store.export_place("e").await.unwrap().unwrap();
        assert_eq!(
            (place.cursor, place.records),
            (9, 9),
            "what was sent twice counts once"
        );
        assert_eq!(place.planned, None);
    }
    let all = ["Noted", "Planned", "Pruned", "Read", "Sent"].map(str::to_owned);
    assert_eq!(killed, BTreeSet::from(all), "every step was the last of a life");
}

#[tokio::test]
async fn an_answer_may_get_lost() {
    for at in 0..3 {
        let world = World::new().await;
        world.wants(&[("e", Wants::REQUESTS)]).await;
        let mut sent = world.records(1..=7).await;
        let received = Received::default();
        let lost = AtomicBool::new(false);
        let loses = move |received: &Received, batch: &Batch| {
            takes(received, batch)?;
            if received.all().len() > at && !lost.swap(true, Ordering::Relaxed) {
                return later(received, batch);
            }
            Ok(())
        };
        let mut first = world.worker("e", Told(received.clone(), loses));
        let failure = loop {
            match first.step().await {
                Ok(_) => {}
                Err(failure) => break failure,
            }
        };
        assert!(matches!(failure, Failure::Sink(SendError::Later(..))));
        drop(first);
        let world = world.again().await;
        sent.extend(world.records(8..=9).await);
        let mut second = world.worker("e", Told(received.clone(), takes));
        to_the_end(&mut second).await;
        check(&received, &sent, &format!("answer {at} is lost"));
        assert!(received.ids().len() > sent.len(), "something came twice");
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_parts() {
    let world = World::new().await;
    world.wants(&[("e", Wants::REQUESTS)]).await;
    let sent = world.records(1..=7).await;
    let received = Received::default();
    let narrow = |received: &Received, batch: &Batch| {
        if batch.items.len() > 1 {
            return Err(SendError::TooLarge("413".into()));
        }
        takes(received, batch)
    };
    let mut exporter = world.worker("e", Told(received.clone(), narrow));
    let steps = to_the_end(&mut exporter).await;
    assert!(steps.contains(&Step::Shrunk));
    assert_eq!(received.ids().len(), 7);
    check(&received, &sent, "in parts");
}

#[tokio::test]
async fn one_alone_that_is_too_large_goes_without_bodies() {
    struct Large;
    impl ReadCaptures for Large {
        fn read(&self, _: RequestId) -> Reading<'_> {
            let captured = Captured {
                request_body: vec![b'x'; 5_000],
                ..Captured::default()
            };
            Box::pin(async move { Ok(Some(captured)) })
        }
    }
    let world = World::new().await;
    world.wants(&[("e", Wants::REQUESTS.and(Wants::CAPTURES))]).await;
    let mut large = record(1, 5);
    large.capture = Capture::Written;
    let batch = store::Batch {
        records: vec![large],
        ..store::Batch::default()
    };
    world.store.ingest(&batch).await.unwrap();
    let sql = "INSERT INTO export_log (kind,added,time,request_id,capture) SELECT 0,1,time,request_id,1 FROM export_waiting";
    world.store.execute_for_tests(sql);
    let received = Received::default();
    let narrow = |received: &Received, batch: &Batch| {
        if batch.items.iter().any(|item| item.bytes() > 4_000) {
            return Err(SendError::TooLarge("413".into()));
        }
        takes(received, batch)
    };
    let store: Arc<dyn Store> = world.store.clone();
    let sink = Box::new(Told(received.clone(), narrow));
    let mut exporter = Exporter::new("e", 3, sink, store, Arc::new(Large), clock);
    to_the_end(&mut exporter).await;
    let all = received.all();
    let requests: Vec<_> = all.iter().flat_map(Batch::requests).collect();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].captured.is_none());
    assert_eq!(
        requests[0].capture_word(),
        "stored",
        "it is there, and was not sent"
    );
}

#[tokio::test]
async fn bodies_bound_a_batch() {
    struct Mebibytes;
    impl ReadCaptures for Mebibytes {
        fn read(&self, _: RequestId) -> Reading<'_> {
            let captured = Captured {
                answer_body: vec![0; 20 << 20],
                ..Captured::default()
            };
            Box::pin(async move { Ok(Some(captured)) })
        }
    }
    let world = World::new().await;
    world.wants(&[("e", Wants::CAPTURES)]).await;
    let sent = world.records(1..=3).await;
    world.store.execute_for_tests("UPDATE export_log SET capture = 1");
    let received = Received::default();
    let store: Arc<dyn Store> = world.store.clone();
    let sink = Box::new(Told(received.clone(), takes));
    let mut exporter = Exporter::new("e", 100, sink, store, Arc::new(Mebibytes), clock);
    to_the_end(&mut exporter).await;
    let sizes: Vec<usize> = received.all().iter().map(|batch| batch.items.len()).collect();
    assert_eq!(sizes, [1, 1, 1], "32 MiB hold one of them");
    check(&received, &sent, "in parts");
}
