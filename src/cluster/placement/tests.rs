use std::time::{Duration, Instant};

use super::*;
use crate::cluster::observation::tests::{OURS, answer, cluster_of, lost};
use crate::cluster::read_policy::Bounds;
use crate::cluster::route::Mode;

/// A primary (a) and standbys on the same timeline, at these positions.
fn cluster(user: &str, standbys: &[u64]) -> Arc<Cluster> {
    let names: Vec<String> = (0..=standbys.len()).map(|index| format!("n{index}")).collect();
    let seen = cluster_of(user, Mode::ReadWrite, &names.iter().map(String::as_str).collect::<Vec<_>>());
    seen.see(0, answer((false, false), 1, 1_000, Some(OURS)));
    for (index, lsn) in standbys.iter().enumerate() {
        seen.see(index + 1, answer((true, false), 1, *lsn, Some(OURS)));
    }
    Arc::new(seen.cluster)
}

fn wish() -> Wish {
    Wish { fallback: true, may_try: true, may_wait: true, ..Wish::default() }
}

fn after(timeline: u32, lsn: u64) -> Wish {
    Wish { after: Some(ConsistencyToken { system: OURS, timeline, lsn }), ..wish() }
}

/// Placing may start to ask a node for its position, which needs a runtime.
fn in_runtime(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async { test() });
}

fn places(cluster: &Arc<Cluster>, wish: &Wish) -> Vec<Placement> {
    let mut places: Vec<_> = (0..20).map(|_| cluster.place_read(wish)).collect();
    places.sort_by_key(|place| format!("{place:?}"));
    places.dedup();
    places
}

#[test]
fn standbys_answer_and_the_primary_only_when_none_is_fit() {
    in_runtime(|| {
        let cluster = cluster("place", &[1_000, 900]);
        let on = |nodes: &[usize]| nodes.iter().map(|node| Placement::On(*node)).collect::<Vec<_>>();
        assert_eq!(places(&cluster, &wish()), on(&[1, 2]));
        let failed = |nodes: &[usize]| Wish { failed: nodes.to_vec(), ..wish() };
        assert_eq!(places(&cluster, &failed(&[1])), on(&[2]));
        assert_eq!(places(&cluster, &failed(&[1, 2])), on(&[0]));
        let alone = Wish { fallback: false, ..failed(&[1, 2]) };
        assert_eq!(places(&cluster, &alone), [Placement::Nowhere]);
        assert_eq!(places(&cluster, &Wish { chosen: Some(2), ..wish() }), on(&[2]));
        assert_eq!(places(&cluster, &Wish { chosen: Some(0), ..wish() }), on(&[1, 2]), "the primary cannot be chosen");
        let down = cluster.nodes[1].clone();
        cluster.observe(&down, lost());
        assert_eq!(places(&cluster, &wish()), on(&[2]));
    });
}

#[test]
fn a_read_with_bounds_goes_to_standbys_that_are_known_to_keep_them() {
    in_runtime(|| {
        let cluster = cluster("bounds", &[1_000, 900]);
        let within = |bounds| places(&cluster, &Wish { bounds, ..wish() });
        let bytes = |most| Bounds { max_lag_bytes: Some(most), ..Bounds::default() };
        assert_eq!(within(bytes(100)), [Placement::On(1), Placement::On(2)]);
        assert_eq!(within(bytes(99)), [Placement::On(1)]);
        let ms = |most| Bounds { max_lag: Some(Duration::from_millis(most)), ..Bounds::default() };
        assert_eq!(within(ms(60_000)), [Placement::On(1)], "it is not known since when the other one is behind");
        // Nobody has heard of the primary for a second.
        let second = Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine runs for a second");
        lock(&cluster.nodes[1].status).current_at = Some(second);
        assert_eq!(within(ms(900)), [Placement::On(0)]);
        assert_eq!(within(ms(60_000)), [Placement::On(1)]);
        // A standby of an older timeline may follow another primary.
        lock(&cluster.nodes[1].status).timeline = None;
        assert_eq!(within(ms(60_000)), [Placement::On(0)]);
        let reasons = cluster.why_unfit(&Wish { bounds: ms(900), ..wish() });
        let reasons: Vec<_> = reasons.iter().map(|host| host.reason.as_str()).collect();
        let [primary, unknown, behind] = reasons[..] else { panic!("{reasons:?}") };
        assert_eq!(primary, "is a primary");
        assert!(unknown.contains("timeline") && behind.contains("lag is not known"), "{reasons:?}");
    });
}

#[test]
fn a_read_with_a_token_goes_where_its_position_is() {
    in_runtime(|| {
        let cluster = cluster("token", &[1_000, 900]);
        assert_eq!(places(&cluster, &after(1, 900)), [Placement::On(1), Placement::On(2)]);
        assert_eq!(places(&cluster, &after(1, 950)), [Placement::On(1)]);
        // Both were asked a moment ago.
        assert_eq!(places(&cluster, &after(1, 1_001)), [Placement::AfterReplay(vec![1, 2])]);
        let late = Wish { may_wait: false, ..after(1, 1_001) };
        assert_eq!(places(&cluster, &late), [Placement::On(0)]);
        assert_eq!(places(&cluster, &Wish { fallback: false, ..late }), [Placement::Nowhere]);
    });
}

#[test]
fn a_token_of_another_timeline_is_answered_by_a_primary_of_its_or_a_later_one() {
    in_runtime(|| {
        let cluster = cluster("timelines", &[1_000, 1_000]);
        assert_eq!(places(&cluster, &after(2, 10)), [Placement::Nowhere], "no node is known to be on timeline 2");
        let promoted = cluster.nodes[1].clone();
        cluster.observe(&promoted, answer((false, false), 2, 1_100, Some(OURS)));
        assert_eq!(places(&cluster, &after(1, 10)), [Placement::On(1)], "timeline 1 was left behind");
        assert_eq!(places(&cluster, &after(2, 10)), [Placement::On(1)], "the standby is not known to follow");
        let standby = cluster.nodes[2].clone();
        cluster.observe(&standby, answer((true, false), 2, 1_100, Some(OURS)));
        assert_eq!(places(&cluster, &after(2, 10)), [Placement::On(2)]);
    });
}

#[test]
fn a_node_that_has_failed_is_left_alone_but_never_the_last_one() {
    in_runtime(|| {
        let cluster = cluster("ejected", &[1_000, 1_000]);
        cluster.placed(1).failed();
        assert_eq!(places(&cluster, &wish()), [Placement::On(2)]);
        assert!(cluster.why_not_read_from(&cluster.nodes[1]).is_some_and(|reason| reason.contains("has failed")));
        cluster.placed(2).failed();
        assert!(matches!(places(&cluster, &wish())[..], [Placement::On(1 | 2)]));
        assert_eq!(cluster.nodes[1].reads.load(Ordering::Relaxed), 0, "no read is left on it");
    });
}

#[test]
#[ignore = "prints how long a choice takes, and asserts nothing"]
fn cost_of_choosing_with_all_that_is_looked_at() {
    in_runtime(|| {
        for standbys in [3, 50] {
            let cluster = cluster(&format!("cost{standbys}"), &vec![1_000; standbys]);
            let (wish, after) = (wish(), after(1, 1_000));
            for (name, wish) in [("plain", &wish), ("with a token", &after)] {
                let start = Instant::now();
                let rounds = 200_000;
                for _ in 0..rounds {
                    std::hint::black_box(cluster.place_read(wish));
                }
                let each = start.elapsed().as_nanos() / rounds;
                println!("{standbys} standbys, {name}: {each} ns");
            }
        }
    });
}

#[test]
fn a_node_of_whose_reads_too_few_succeed_has_no_weight() {
    in_runtime(|| {
        let cluster = cluster("threshold", &[1_000]);
        let node = &cluster.nodes[1];
        for _ in 0..8 {
            lock(&node.health).answered(clock(), 100);
        }
        lock(&node.health).failed(clock(), 0.5);
        let policy = |health_threshold| ReadPolicy { health_threshold, ..ReadPolicy::default() };
        let has_weight = |policy: Option<&ReadPolicy>| node.as_candidate(clock(), policy).1.weight > 0.0;
        let kept = [0.0, 0.5, 0.99].map(|threshold| has_weight(Some(&policy(threshold))));
        assert_eq!(kept, [true, true, false]);
        assert!(has_weight(None), "the strategy does not look at it");
    });
}
