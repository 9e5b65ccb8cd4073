//! The loop and the simulated host by themselves: scripted clients that talk to one server over real connections. Machines are 10 ms
//! apart unless a test says otherwise, so that every instant below can be computed by hand.

mod engine_world;

use clustersim::base::{Duration, Time};
use clustersim::engine::Options;
use clustersim::engine::plan::{Fault, Starts, Targets};
use clustersim::models::distribution::Distribution;
use clustersim::wire::MachineId;
use clustersim::wire::fact::What;
use engine_world::*;

fn server() -> Targets {
    Targets::Addresses(vec![SERVER])
}

const OPENED: [&str; 2] = ["1.010s server accepted operator", "1.020s client opened"];

/// `OPENED`, then these.
#[track_caller]
fn after_opening(log: &[String], expected: &[&str]) {
    let expected: Vec<&str> = OPENED.iter().chain(expected).copied().collect();
    assert_eq!(log, expected);
}

/// A dial, and a hundred requests with chance in their latencies.
fn chatter(seed: u64) -> Setting {
    let script: Vec<(u64, Do)> = std::iter::once((1_000, Do::Dial)).chain((0..100).map(|n| (2_000 + n * 7, Do::Say(n)))).collect();
    let latency = Distribution::LogNormal { median: Duration::from_millis(10), sigma: 0.5 };
    Setting { seed, latency, second_client: true, ..setting(&script) }
}

#[test]
fn equal_seeds_give_equal_digests_and_others_different_ones() {
    let (outcome, trace) = chatter(1).digests();
    assert_eq!((outcome, trace), chatter(1).digests());
    let (other_outcome, other_trace) = chatter(2).digests();
    assert_ne!(outcome, other_outcome);
    assert_ne!(trace, other_trace);
}

#[test]
fn the_codec_changes_nothing() {
    let coded = Setting { options: Options { codec: true, ..Options::default() }, ..chatter(1) };
    assert_eq!(coded.digests(), chatter(1).digests());
}

#[test]
fn a_connection_carries_requests_and_answers_and_closes_in_order() {
    let log = setting(&[(1_000, Do::Dial), (2_000, Do::Say(1)), (2_001, Do::Say(3)), (2_001, Do::Close)]).play();
    // The answers come to a connection that is closed at this end.
    after_opening(&log, &["2.010s server request 1", "2.011s server request 3", "2.011s server closed Fin"]);
}

#[test]
fn a_killed_process_resets_its_connections_and_refuses_new_ones_until_it_is_back() {
    let script = [(1_000, Do::Dial), (6_000, Do::Dial), (9_000, Do::Dial)];
    let log = setting(&script).fault(5_000, 8_000, Fault::Kill(server())).play();
    let expected = [
        "5.010s client closed Reset",
        "6.020s client refused",
        "8.000s server boot 2 with []",
        "9.010s server accepted operator",
        "9.020s client opened",
    ];
    after_opening(&log, &expected);
}

#[test]
fn a_machine_without_power_is_silent_until_the_keep_alive_gives_up() {
    let script = [(1_000, Do::Dial), (2_000, Do::Say(1))];
    let log = setting(&script).fault(5_000, None, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    // Last heard at 2.020 s; a ping 30 s later; no answer within 15 s.
    after_opening(&log, &["2.010s server request 1", "2.020s client answer 1", "47.020s client closed TimedOut"]);
}

#[test]
fn tcp_gives_up_what_was_written_into_silence_ten_seconds_ago_where_the_socket_has_that_limit() {
    let script = [(1_000, Do::DialAsEtcd), (8_000, Do::Say(1)), (9_000, Do::Say(3))];
    let lost = setting(&script).fault(5_000, None, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    after_opening(&lost, &["18.000s client closed TimedOut"]);
    let partition = setting(&script).fault(5_000, 30_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE)).play();
    assert!(partition.contains(&"18.000s client closed TimedOut".to_owned()), "{partition:#?}");
    // What comes through in time has been acknowledged, and the next silence counts anew.
    let healed = setting(&script).fault(5_000, 12_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE)).play();
    assert!(!healed.iter().any(|line| line.contains("closed")), "{healed:#?}");
    // The kernel of a process that stands still acknowledges.
    let paused = setting(&script).fault(5_000, 30_000, Fault::Pause(server())).play();
    assert!(!paused.iter().any(|line| line.contains("closed")), "{paused:#?}");
    // Nothing was written: only the keep-alive notices.
    let idle = setting(&script[..1]).fault(5_000, None, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    after_opening(&idle, &["41.020s client closed TimedOut"]);
}

#[test]
fn pings_keep_an_idle_connection_until_its_peer_falls_silent() {
    let log = setting(&[(1_000, Do::Dial)]).fault(100_000, None, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    // Pings at 31.020, 61.020 and 91.020 s are answered; that of 121.020 s is not.
    after_opening(&log, &["136.020s client closed TimedOut"]);
}

#[test]
fn a_rebooted_machine_does_not_know_its_old_connections() {
    let script = [(1_000, Do::Dial), (20_000, Do::Say(1))];
    let log = setting(&script).fault(5_000, 15_000, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    after_opening(&log, &["15.000s server boot 2 with []", "20.020s client closed Reset"]);
}

#[test]
fn a_process_that_stands_still_gets_everything_when_it_goes_on() {
    for fault in [Fault::Pause(server()), Fault::Freeze(vec![SERVER_MACHINE])] {
        let script = [(1_000, Do::Dial), (4_995, Do::Say(1)), (6_000, Do::Say(3)), (7_000, Do::Say(5))];
        let log = Setting { timer: Timer::At(ms(10_000)), ..setting(&script) }.fault(5_000, 15_000, fault).play();
        let expected = [
            "15.000s server request 1",
            "15.000s server timer",
            "15.010s server request 3",
            "15.010s server request 5",
            "15.010s client answer 1",
            "15.020s client answer 3",
            "15.020s client answer 5",
        ];
        after_opening(&log, &expected);
    }
}

#[test]
fn a_client_gives_a_stopped_server_up_but_tcp_does_not_give_up_a_stopped_client() {
    let script = [(1_000, Do::Dial)];
    let log = setting(&script).fault(5_000, 400_000, Fault::Pause(server())).play();
    after_opening(&log, &["46.020s client closed TimedOut", "400.010s server closed Fin"]);
    let log = setting(&script).fault(5_000, 400_000, Fault::Pause(Targets::Addresses(vec![CLIENT]))).play();
    after_opening(&log, &[]);
}

fn cut(one_way: bool, from: MachineId, to: MachineId) -> Fault {
    Fault::Partition { from: vec![from], to: vec![to], one_way, flap: None }
}

#[test]
fn what_was_written_into_a_partition_comes_in_order_with_the_next_retransmission() {
    let script = [(1_000, Do::Dial), (6_000, Do::Say(1)), (7_000, Do::Say(3)), (26_000, Do::Say(5))];
    let log = setting(&script).fault(5_000, 25_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE)).play();
    // First sent at 6 s, again after 0.2, 0.4, 0.8 ... s: at 18.6 s into the partition, at 31.4 s through.
    let expected = [
        "31.410s server request 1",
        "31.410s server request 3",
        "31.410s server request 5",
        "31.420s client answer 1",
        "31.420s client answer 3",
        "31.420s client answer 5",
    ];
    after_opening(&log, &expected);
}

#[test]
fn a_partition_longer_than_the_keep_alive_ends_connections() {
    let script = [(1_000, Do::Dial), (50_000, Do::Dial)];
    let log = setting(&script).fault(5_000, 100_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE)).play();
    // The client gave up at 46.020 s; its FIN comes through with the retransmission at 46.020 + 102.2 s.
    let expected = ["46.020s client closed TimedOut", "80.000s client closed TimedOut", "148.230s server closed Fin"];
    after_opening(&log, &expected);
}

#[test]
fn a_second_partition_counts_from_the_end_of_the_first() {
    let log = setting(&[(1_000, Do::Dial)])
        .fault(20_000, 40_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE))
        .fault(45_000, 60_000, cut(false, CLIENT_MACHINE, SERVER_MACHINE))
        .play();
    // 1.020 s + 45 s lies in the second partition, but between the two a ping was answered.
    after_opening(&log, &[]);
}

#[test]
fn a_one_way_partition_stops_one_direction_and_both_ends_notice() {
    let script = [(1_000, Do::Dial), (6_000, Do::Say(1))];
    let log = setting(&script).fault(5_000, 20_000, cut(true, SERVER_MACHINE, CLIENT_MACHINE)).play();
    // The request arrives; its answer, held since 6.010 s, comes with the retransmission at 6.010 + 25.4 s.
    after_opening(&log, &["6.010s server request 1", "31.420s client answer 1"]);
    let log = setting(&script).fault(5_000, 20_000, cut(true, CLIENT_MACHINE, SERVER_MACHINE)).play();
    after_opening(&log, &["31.410s server request 1", "31.420s client answer 1"]);
    for (from, to) in [(SERVER_MACHINE, CLIENT_MACHINE), (CLIENT_MACHINE, SERVER_MACHINE)] {
        let log = setting(&script[..1]).fault(5_000, None, cut(true, from, to)).play();
        assert!(log.contains(&"46.020s client closed TimedOut".to_owned()), "{log:?}");
    }
}

#[test]
fn a_dial_into_silence_is_tried_again_and_given_up_after_30_seconds() {
    let script = [(1_000, Do::Dial)];
    let dark = |until: Option<u64>| setting(&script).fault(500, until, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    assert_eq!(dark(None), ["31.000s client closed TimedOut"]);
    // SYNs go out at 1, 2, 4, 8, 16 and 31 s.
    assert_eq!(dark(Some(10_000)), ["10.000s server boot 2 with []", "16.010s server accepted operator", "16.020s client opened"]);
}

#[test]
fn a_dial_dies_with_its_process() {
    let killed = Targets::Addresses(vec![CLIENT]);
    let log = setting(&[(1_000, Do::Dial)])
        .fault(500, 10_000, Fault::PowerLoss(vec![SERVER_MACHINE]))
        .fault(9_000, 9_500, Fault::Kill(killed))
        .play();
    assert_eq!(log, ["9.500s client boot 2", "10.000s server boot 2 with []"]);
}

#[test]
fn a_new_life_gets_no_answer_to_its_predecessor() {
    let script = [(1_000, Do::Dial), (2_000, Do::Say(2))];
    // The client dies while the answer is under way; the server while its sync is.
    let log = setting(&script).fault(2_015, 2_016, Fault::Kill(Targets::Addresses(vec![CLIENT]))).play();
    let expected = ["2.010s server request 2", "2.016s client boot 2", "2.025s server closed Reset", "2.060s server synced"];
    after_opening(&log, &expected);
    let log = setting(&script).fault(2_030, 2_041, Fault::Kill(server())).play();
    let expected = ["2.010s server request 2", "2.020s client answer 2", "2.040s client closed Reset", "2.041s server boot 2 with [2]"];
    after_opening(&log, &expected);
}

#[test]
fn a_kill_keeps_what_was_not_synced_and_a_power_loss_leaves_a_prefix_of_it() {
    let script = [(1_000, Do::Dial), (2_000, Do::Say(1)), (2_100, Do::Say(2)), (3_000, Do::Say(3)), (3_000, Do::Say(5))];
    let log = setting(&script).fault(4_000, 5_000, Fault::Kill(server())).play();
    assert!(log.contains(&"5.000s server boot 2 with [1, 2, 3, 5]".to_owned()), "{log:?}");
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let dark = Fault::PowerLoss(vec![SERVER_MACHINE]);
        let log = Setting { seed, ..setting(&script) }.fault(4_000, 5_000, dark).play();
        let boot = log.iter().find(|line| line.contains("boot 2")).expect("it boots");
        seen.insert(boot.trim_start_matches("5.000s server boot 2 with ").to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["[1, 2, 3, 5]", "[1, 2, 3]", "[1, 2]"]);
}

#[test]
fn a_process_does_not_start_on_a_machine_without_power() {
    let log = setting(&[]).fault(1_000, 3_000, Fault::Kill(server())).fault(2_000, 5_000, Fault::PowerLoss(vec![SERVER_MACHINE])).play();
    assert_eq!(log, ["5.000s server boot 2 with []"]);
}

/// A dial at 1 s and a request at 6 s: when is it answered?
#[track_caller]
fn answered(faults: &[(u64, u64, Fault)], at: &str) {
    let script = [(1_000, Do::Dial), (6_000, Do::Say(1))];
    for faults in [faults.to_vec(), faults.iter().rev().cloned().collect()] {
        let setting = faults.into_iter().fold(setting(&script), |setting, (from, until, fault)| setting.fault(from, until, fault));
        let log = setting.play();
        assert!(log.contains(&format!("{at} client answer 1")), "{log:?}");
    }
}

#[test]
fn what_stands_still_goes_on_when_the_last_fault_on_it_ends() {
    let (pause, freeze) = (Fault::Pause(server()), Fault::Freeze(vec![SERVER_MACHINE]));
    answered(&[(5_000, 15_000, pause.clone()), (10_000, 20_000, pause.clone())], "20.020s");
    answered(&[(5_000, 15_000, freeze.clone()), (10_000, 20_000, freeze.clone())], "20.020s");
    answered(&[(5_000, 15_000, pause.clone()), (10_000, 20_000, freeze.clone())], "20.020s");
    answered(&[(5_000, 15_000, freeze.clone()), (10_000, 20_000, pause.clone())], "20.020s");
    // One within the other, and two of the same span.
    answered(&[(5_000, 20_000, freeze), (10_000, 15_000, pause.clone())], "20.020s");
    answered(&[(5_000, 20_000, pause.clone()), (5_000, 20_000, pause)], "20.020s");
}

#[test]
fn a_link_that_two_partitions_cut_is_whole_when_both_have_ended() {
    let partition = cut(false, CLIENT_MACHINE, SERVER_MACHINE);
    // Sent again 12.6 s after the first time. In the second case the request comes through then, and its answer 12.6 s later.
    answered(&[(5_000, 10_000, partition.clone()), (8_000, 18_000, partition.clone())], "18.620s");
    answered(&[(5_000, 18_000, partition), (8_000, 25_000, cut(true, SERVER_MACHINE, CLIENT_MACHINE))], "31.220s");
}

#[test]
fn slow_links_add_up_while_they_overlap() {
    let slow = |millis| Fault::SlowLink {
        from: vec![CLIENT_MACHINE],
        to: vec![SERVER_MACHINE],
        latency: Distribution::Constant(Duration::from_millis(millis)),
        loss: 0.0,
    };
    let script = [(1_000, Do::Dial), (6_000, Do::Say(1)), (8_000, Do::Say(3)), (10_000, Do::Say(5))];
    let log = setting(&script).fault(3_000, 9_000, slow(100)).fault(5_000, 7_000, slow(200)).play();
    let expected = [
        "6.310s server request 1",
        "6.620s client answer 1",
        "8.110s server request 3",
        "8.220s client answer 3",
        "10.010s server request 5",
        "10.020s client answer 5",
    ];
    after_opening(&log, &expected);
}

#[test]
fn what_is_down_starts_when_the_last_fault_on_it_ends_and_only_once() {
    let dark = || Fault::PowerLoss(vec![SERVER_MACHINE]);
    let reboot = || Fault::Reboot { machines: vec![SERVER_MACHINE], takes: Duration::from_secs(20) };
    let boots = |setting: Setting, at: &str| assert_eq!(setting.play(), [format!("{at} server boot 2 with []")]);
    boots(setting(&[]).fault(5_000, 15_000, dark()).fault(10_000, 20_000, dark()), "20.000s");
    boots(setting(&[]).fault(5_000, 30_000, dark()).fault(10_000, 20_000, dark()), "30.000s");
    boots(setting(&[]).fault(5_000, 15_000, Fault::Kill(server())).fault(10_000, 20_000, Fault::Kill(server())), "20.000s");
    // The process is held down by its own fault although its machine has power again.
    boots(setting(&[]).fault(5_000, 30_000, Fault::Kill(server())).fault(10_000, 20_000, dark()), "30.000s");
    boots(setting(&[]).fault(5_000, None, reboot()).fault(10_000, 15_000, dark()), "25.000s");
    boots(setting(&[]).fault(5_000, None, reboot()).fault(10_000, 40_000, dark()), "40.000s");
    boots(setting(&[]).fault(5_000, None, reboot()).fault(10_000, None, reboot()), "25.000s");
    // What has no power does not restart.
    boots(setting(&[]).fault(5_000, 15_000, dark()).fault(10_000, None, reboot()), "15.000s");
}

#[test]
fn starting_again_takes_its_time_and_what_comes_between_undoes_it() {
    let slow = |from: u64, until: u64, fault: Fault| {
        let starts = Starts { again: Distribution::Constant(Duration::from_secs(2)), ..Starts::default() };
        Setting { starts, ..setting(&[(11_000, Do::Dial)]) }.fault(5_000, 10_000, Fault::Kill(server())).fault(from, until, fault)
    };
    let idle = || Fault::Kill(Targets::Addresses(Vec::new()));
    assert_eq!(slow(20_000, 21_000, idle()).play(), ["11.020s client refused", "12.000s server boot 2 with []"]);
    let undone = ["11.020s client refused", "22.000s server boot 2 with []"];
    assert_eq!(slow(11_500, 20_000, Fault::Kill(server())).play(), undone);
    assert_eq!(slow(11_500, 20_000, Fault::PowerLoss(vec![SERVER_MACHINE])).play(), undone);
    assert_eq!(slow(11_500, 20_000, Fault::Freeze(vec![SERVER_MACHINE])).play(), undone);
    // The first of two starts counts.
    assert_eq!(slow(10_500, 11_500, Fault::Kill(server())).play()[1], "12.000s server boot 2 with []");
}

#[test]
fn what_is_kept_from_beginning_begins_once_when_nothing_keeps_it() {
    let boots = |until: u64, fault: Fault| -> Vec<String> {
        let apart = Starts { within: Starts::APART, ..Starts::default() };
        let mut engine = Setting { starts: apart, ..setting(&[]) }.fault(0, until, fault).engine();
        engine.run_until(Time::from_secs(60));
        engine.actors.log.iter().filter(|line| line.contains("server boot")).cloned().collect()
    };
    let own = boots(0, Fault::Kill(Targets::Addresses(Vec::new())));
    assert!(own.len() == 1 && ("0.001s".."1.000s").contains(&own[0].as_str()), "in the first second: {own:?}");
    for fault in [Fault::Kill(server()), Fault::PowerLoss(vec![SERVER_MACHINE]), Fault::Freeze(vec![SERVER_MACHINE])] {
        assert_eq!(boots(5_000, fault.clone()), ["5.000s server boot 1 with []"]);
        assert_eq!(boots(1, fault), own, "over before it would begin");
    }
}

#[test]
fn the_end_of_a_life_ends_what_held_it() {
    let script = [(1_000, Do::Dial), (12_000, Do::Dial)];
    let expected =
        |reset: &'static str| [reset, "10.000s server boot 2 with []", "12.010s server accepted operator", "12.020s client opened"];
    let log = setting(&script).fault(5_000, 20_000, Fault::Pause(server())).fault(8_000, 10_000, Fault::Kill(server())).play();
    after_opening(&log, &expected("8.010s client closed Reset"));
    let log = setting(&script)
        .fault(5_000, 20_000, Fault::Freeze(vec![SERVER_MACHINE]))
        .fault(8_000, 10_000, Fault::PowerLoss(vec![SERVER_MACHINE]))
        .play();
    after_opening(&log[..5], &expected("10.000s server boot 2 with []")[1..]);
}

#[test]
fn a_process_that_is_killed_while_its_machine_stands_still_dies_when_it_goes_on() {
    let still = || setting(&[(1_000, Do::Dial)]).fault(5_000, 15_000, Fault::Freeze(vec![SERVER_MACHINE]));
    let log = still().fault(8_000, 10_000, Fault::Kill(server())).play();
    after_opening(&log, &["15.000s server boot 2 with []", "15.010s client closed Reset"]);
    let log = still().fault(8_000, 20_000, Fault::Kill(server())).play();
    after_opening(&log, &["15.010s client closed Reset", "20.000s server boot 2 with []"]);
    // Nobody starts it either.
    let log = still().fault(4_000, 10_000, Fault::Kill(server())).play();
    after_opening(&log, &["4.010s client closed Reset", "15.000s server boot 2 with []"]);
}

#[test]
fn a_restart_in_order_syncs_files_and_resets_connections() {
    let script = [(1_000, Do::Dial), (2_000, Do::Say(1))];
    let reboot = Fault::Reboot { machines: vec![SERVER_MACHINE], takes: Duration::from_secs(10) };
    let log = setting(&script).fault(5_000, None, reboot.clone()).play();
    let expected = ["2.010s server request 1", "2.020s client answer 1", "5.010s client closed Reset", "15.000s server boot 2 with [1]"];
    after_opening(&log, &expected);
    // What stands still cannot be shut down: it is reset, and says nothing.
    let log = setting(&script).fault(4_000, 60_000, Fault::Freeze(vec![SERVER_MACHINE])).fault(5_000, None, reboot).play();
    assert!(!log.contains(&"5.010s client closed Reset".to_owned()), "{log:?}");
}

#[test]
fn a_reset_comes_with_the_retransmission_that_finds_the_way_back_open() {
    let log = setting(&[(1_000, Do::Dial), (20_000, Do::Say(1))])
        .fault(5_000, 15_000, Fault::PowerLoss(vec![SERVER_MACHINE]))
        .fault(4_000, 30_000, cut(true, SERVER_MACHINE, CLIENT_MACHINE))
        .play();
    // Sent again after 0.2, 0.4 ... s: 12.6 s after the first time at 20 s.
    after_opening(&log, &["15.000s server boot 2 with []", "32.610s client closed Reset"]);
}

#[test]
fn shuffled_ties_keep_the_order_within_a_connection() {
    let script: Vec<(u64, Do)> = std::iter::once((1_000, Do::Dial)).chain((1..=10).map(|n| (2_000, Do::Say(n)))).collect();
    let mut orders = std::collections::BTreeSet::new();
    for ties in 0..10 {
        let options = Options { shuffle_ties: Some(ties), ..Options::default() };
        let mut engine = Setting { second_client: true, options, ..setting(&script) }.engine();
        engine.run_until(Time::from_secs(10));
        let log = &engine.actors.log;
        for client in ["client", "second"] {
            let got: Vec<&str> = log.iter().filter_map(|line| line.strip_prefix(&format!("2.020s {client} answer "))).collect();
            assert_eq!(got, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], "ties {ties}");
        }
        let requests: Vec<&String> = log.iter().filter(|line| line.contains("server request")).collect();
        orders.insert(format!("{requests:?}"));
    }
    assert!(orders.len() > 5, "the two connections are mixed in {} ways", orders.len());
}

#[test]
fn a_deadline_that_moves_later_costs_no_step() {
    let script: Vec<(u64, Do)> = std::iter::once((1_000, Do::Dial)).chain((2..=20).map(|n| (n * 1_000, Do::Say(n * 2 + 1)))).collect();
    let log = Setting { timer: Timer::Idle(Duration::from_secs(5)), ..setting(&script) }.play();
    let timers: Vec<&String> = log.iter().filter(|line| line.ends_with("timer")).collect();
    assert_eq!(timers, ["25.010s server timer"]);
}

#[test]
fn a_deadline_that_moved_sooner_leaves_no_wakes_behind() {
    let script: Vec<(u64, Do)> =
        std::iter::once((1_000, Do::Dial)).chain((1..=50).map(|n| (2_000 + n * 100, Do::Say(n * 2 + 1)))).collect();
    let mut engine = Setting { timer: Timer::Sooner, ..setting(&script) }.engine();
    engine.run_until(Time::from_secs(110));
    let looks = engine.actors.looks.get();
    engine.run_until(Time::from_secs(200));
    // Each second one wake: a look when it comes, and one to arm the next.
    assert_eq!(engine.actors.looks.get() - looks, 180);
}

#[test]
fn the_end_of_a_process_names_the_fault_that_killed_it() {
    let mut engine = setting(&[(1_000, Do::Dial)]).fault(5_000, 8_000, Fault::Kill(server())).engine();
    engine.run_until(Time::from_secs(10));
    let facts = engine.recorder.facts();
    let injected = facts.iter().find(|entry| matches!(entry.fact.what, What::FaultInjected { .. })).expect("it was injected");
    let stopped = facts.iter().find(|entry| matches!(entry.fact.what, What::Stopped)).expect("it stopped");
    assert_eq!(stopped.cause, Some(injected.id));
}
