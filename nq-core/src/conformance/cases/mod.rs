//! Every case, by topic. A case that is not in the list is dead code to the compiler, so none is forgotten.

mod append_read;
mod commit;
mod fencing;
mod follow;
mod resend;

/// What every topic stands on.
mod prelude {
    pub(super) use std::time::Duration;

    pub(super) use serde_json::json;

    pub(super) use crate::conformance::build::*;
    pub(super) use crate::conformance::fixture::*;
    pub(super) use crate::entry::{Entry, EntryType};
    pub(super) use crate::id::{EntryId, InstanceId, QueueName, RunId};
    pub(super) use crate::limits::*;
    pub(super) use crate::record::JobState;
    pub(super) use crate::status::RunStatus;
    pub(super) use crate::store::*;
    pub(super) use crate::transaction::{Act, GatherSpec, JobSpec, Transaction, Turn, Want};

    /// All runs, in pages of this size.
    pub(super) fn all_runs(limit: usize) -> RunsQuery {
        RunsQuery { limit, ..RunsQuery::default() }
    }
}

/// Calls a macro with every topic and its cases, behind what it is given.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($callback:tt)*] $($given:tt)*) => {
        $($callback)*! {
            $($given)*
            append_read {
                entries_are_numbered_from_one_without_a_gap
                an_entry_is_stamped_by_the_clock_of_the_store
                log_lines_keep_their_order_and_their_step
                appending_nothing_changes_nothing
                log_lines_are_taken_after_the_end_of_a_run
                log_lines_for_a_run_that_is_not_there_create_nothing
                a_run_that_is_not_there_is_not_an_empty_run
                pages_join_without_gap_or_repeat
                reading_backwards_mirrors_reading_forwards
                after_and_upto_bound_the_range
                types_select_entries_and_the_limit_counts_the_selected
                selecting_rare_entries_skips_the_others_whole
                a_limit_of_nothing_reads_nothing
                a_page_is_never_longer_than_the_most
                a_page_is_bounded_in_bytes_and_never_empty
                an_entry_of_an_unknown_type_is_kept
                an_entry_that_says_nothing_comes_back_saying_nothing
                timelines_of_two_runs_are_apart
            }
            follow {
                what_is_there_is_not_waited_for
                waiting_ends_when_its_time_is_up
                an_entry_wakes_those_who_follow_its_run
                a_commit_wakes_those_who_follow_its_run
                the_end_from_outside_wakes_those_who_follow
                a_start_wakes_those_who_wait_for_its_queue
                a_commit_wakes_those_who_wait_for_what_it_enqueues
                a_tick_wakes_those_who_wait_for_what_is_due
                a_lease_that_runs_out_wakes_those_who_wait
                the_end_of_a_pause_wakes_those_who_wait
                everyone_who_waits_is_woken
                a_wait_that_is_dropped_harms_nothing
                a_follower_sees_every_entry_once_and_in_order
                one_who_waits_for_a_run_that_is_gone_learns_it_by_reading
            }
            commit {
                everything_in_a_commit_is_applied
                entries_stand_in_the_order_of_the_transaction
                entries_carry_their_step_and_attempt
                the_answer_names_the_last_entry
                a_refused_commit_changes_nothing
                a_refused_commit_does_not_spoil_its_neighbours
                answers_come_in_the_order_of_the_writes
                two_writes_of_one_step_in_a_turn_apply_in_order
                a_step_that_is_done_takes_no_second_commit
                a_commit_to_a_run_that_is_not_there_says_so
                a_run_that_has_ended_takes_no_commit
                an_effect_keeps_the_lease_and_is_counted
                a_checkpoint_hands_on_work_before_its_step_is_done
                what_a_commit_enqueues_is_leased_by_the_same_turn
                a_step_is_named_by_its_worker_and_its_cause
                a_job_runs_on_the_event_that_caused_it
                the_last_step_completes_the_run_in_its_own_commit
                a_dead_step_fails_its_run
                a_dead_step_that_may_fail_lets_its_run_go_on
                a_run_whose_last_step_may_fail_completes_with_its_death
                what_is_given_back_counts_as_nothing
                readers_see_a_commit_whole_or_not_at_all
            }
            fencing {
                each_lease_raises_the_fence
                the_loser_of_a_lease_commits_nothing
                the_loser_of_a_lease_renews_nothing
                the_loser_of_a_lease_may_still_log
                a_fence_that_was_never_given_is_refused
                a_job_that_nobody_holds_takes_no_commit
                a_lease_that_ran_out_but_was_not_taken_away_still_counts
                of_two_who_commit_at_once_one_wins
                a_step_of_another_run_is_not_meant
            }
            resend {
                the_same_turn_again_gets_the_same_answers
                what_was_refused_is_refused_again
                leases_are_handed_out_again_with_the_same_fence
                leases_lost_meanwhile_are_not_handed_out_again
                a_lower_number_is_refused_and_changes_nothing
                a_gap_is_loud_and_changes_nothing
                the_first_number_of_a_lane_is_one
                a_turn_with_nothing_in_it_counts
                lanes_of_two_instances_are_apart
                an_instance_may_write_for_a_lease_of_its_former_lane
                leaving_ends_the_lane_and_keeps_the_leases
                the_same_turn_at_once_is_applied_once
            }
        }
    };
}

macro_rules! runners {
    ($($topic:ident { $($case:ident)* })*) => {
        /// The cases, by topic: each takes a fresh subject and panics where a promise is broken.
        pub mod run {
            $(
                /// The cases of one topic.
                pub mod $topic {
                    use crate::conformance::Subject;
                    use crate::conformance::fixture::Fixture;

                    $(
                        #[doc = concat!("The case `", stringify!($case), "`.")]
                        pub async fn $case(subject: Subject) {
                            let case = super::super::$topic::$case;
                            Box::pin(case(&Fixture::new(subject))).await;
                        }
                    )*
                }
            )*
        }
    };
}

crate::__conformance_cases! { [runners] }
