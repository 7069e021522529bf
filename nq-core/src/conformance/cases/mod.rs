//! Every case, by topic. A case that is not in the list is dead code to the compiler, so none is forgotten.

mod acts;
mod append_read;
mod clocks;
mod commit;
mod damage;
mod fencing;
mod follow;
mod forks;
mod gathers;
mod groups;
mod hostile;
mod jobs;
mod joins;
mod lease;
mod limits;
mod offers;
mod pause;
mod resend;
mod restart;
mod retention;
mod runs;
mod start;
mod timers;
mod versions;

/// What every topic imports.
mod prelude {
    pub(super) use std::time::Duration;

    pub(super) use serde_json::json;

    pub(super) use crate::conformance::Stored;
    pub(super) use crate::conformance::build::*;
    pub(super) use crate::conformance::fixture::*;
    pub(super) use crate::entry::data::*;
    pub(super) use crate::entry::{Entry, EntryType, NewEntry};
    pub(super) use crate::id::{InstanceId, RunId};
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

/// Calls a macro with the given tokens, followed by every topic and its cases.
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
                waiting_for_ever_ends_when_something_comes
                an_entry_wakes_those_who_follow_its_run
                a_commit_wakes_those_who_follow_its_run
                the_end_from_outside_wakes_those_who_follow
                the_end_of_a_run_wakes_those_who_wait_for_it
                waiting_for_the_end_of_a_run_that_goes_on_ends_when_its_time_is_up
                a_start_wakes_those_who_wait_for_its_queue
                a_commit_wakes_those_who_wait_for_what_it_enqueues
                a_tick_wakes_those_who_wait_for_what_is_due
                a_lease_that_runs_out_wakes_those_who_wait
                the_end_of_a_pause_wakes_those_who_wait
                everyone_who_waits_is_woken
                a_wait_that_is_dropped_harms_nothing
                a_follower_sees_every_entry_once_and_in_order
                one_who_waits_for_a_run_that_is_gone_learns_it_by_reading
                one_who_has_seen_more_than_there_is_is_told_so
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
                what_does_not_fit_the_code_counts_as_nothing
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
            lease {
                first_come_first_served
                nobody_gets_more_than_he_wants
                nobody_gets_the_job_of_another_queue
                one_turn_leases_from_several_queues
                a_job_is_leased_to_one_instance_only
                a_lease_writes_the_start_of_the_attempt
                every_attempt_reads_as_of_the_same_position
                a_lease_that_runs_out_goes_back_to_the_queue
                a_lease_that_has_not_run_out_stays
                a_lease_that_is_renewed_stays
                a_lease_beyond_all_time_is_only_long
                a_renewal_writes_nothing_into_the_timeline
                renewals_are_answered_in_their_order
                a_turn_renews_then_writes_then_leases
                what_comes_back_goes_to_the_end_of_its_queue
                a_job_that_keeps_killing_its_process_is_a_dead_letter
                a_killer_that_may_fail_lets_its_run_go_on
                jobs_of_an_ended_run_are_dropped_when_leased
                many_jobs_of_ended_runs_do_not_hide_what_is_behind_them
                a_lease_of_an_ended_run_that_runs_out_is_forgotten
                the_deaths_of_many_are_reclaimed_in_bounded_calls
            }
            timers {
                a_delayed_job_waits
                a_delayed_job_comes_when_it_is_due
                a_job_that_is_delayed_by_nothing_is_there_at_once
                all_who_are_due_come
                a_tick_does_no_more_than_it_may
                a_tick_says_when_the_next_job_is_due
                a_delay_beyond_all_time_is_only_long
                a_delayed_job_of_an_ended_run_never_runs
                ticking_without_cause_does_nothing
                two_who_tick_at_once_do_it_once
                a_retry_reads_and_replays_what_the_first_attempt_did
            }
            joins {
                a_join_runs_when_both_sides_have_arrived
                the_inputs_stand_in_the_order_of_the_sides
                a_join_is_caused_by_the_later_event
                the_first_pairs_with_the_first
                a_join_of_three_waits_for_the_third
                events_pair_by_their_value
                values_pair_only_when_they_are_the_same
                two_joins_do_not_share_their_sides
                joins_of_two_runs_do_not_meet
                one_event_may_arrive_at_both_sides
                a_half_filled_join_does_not_hold_its_run
                what_has_paired_is_not_listed_as_unpaired
                the_end_names_a_bounded_number_of_the_unpaired
                what_a_failed_attempt_did_does_not_arrive
                many_arrivals_pair_in_order
            }
            gathers {
                a_gather_fires_when_the_last_before_it_is_done
                a_gather_is_caused_by_what_brought_its_count_to_nothing
                a_gather_of_nothing_fires_too
                the_list_is_in_the_order_emitted_not_in_that_of_the_jobs
                the_list_is_read_in_pages
                the_list_ends_where_it_is_asked_to
                the_list_of_a_long_fan_comes_in_bounded_pages
                the_list_of_a_run_that_is_gone_is_not_empty_but_missing
                one_who_has_seen_more_than_there_is_gets_no_shorter_list
                a_gather_waits_for_steps_that_its_steps_cause
                a_gather_waits_for_a_step_that_retries
                a_gather_waits_for_a_step_whose_holder_died
                a_gather_fires_once
                a_run_does_not_complete_under_a_gather
                a_gather_fed_by_a_gather_waits_for_it
                the_rank_decides_not_the_name
                two_gathers_may_fire_in_one_commit
                a_gather_does_not_wait_for_what_does_not_lead_to_it
                a_half_filled_join_arms_no_gather
                a_join_that_fires_arms_the_gathers_behind_it
                a_death_that_is_forgiven_counts_as_an_end
                a_death_that_is_not_forgiven_fires_no_gather
                what_comes_after_the_gather_fired_is_not_in_its_list
                a_redriven_step_holds_the_gather_that_has_not_fired
                gathers_of_two_runs_are_apart
                a_wide_fan_fires_its_gather_once
            }
            groups {
                writes_of_several_runs_are_answered_each_for_itself
                what_a_write_makes_waits_behind_what_waits
                what_a_write_makes_for_a_paused_queue_is_not_leased
                what_writes_make_is_leased_up_to_what_is_wanted
                pages_may_begin_and_end_within_a_commit
                a_run_of_very_many_steps_goes_on_as_any_other
                a_lease_lasts_from_its_last_renewal
                what_an_instance_that_left_still_holds_runs_out
            }
            start {
                a_start_begins_a_run
                the_entry_step_runs_on_the_input
                starting_twice_starts_once
                a_run_that_is_at_work_or_done_is_not_started_again
                the_same_id_for_something_else_is_a_conflict
                the_order_of_the_keys_of_an_input_does_not_matter
                another_trigger_or_registry_is_no_conflict
                of_many_who_start_at_once_one_starts
                runs_of_many_flows_live_side_by_side
                a_turn_begins_runs_and_leases_their_jobs
                a_start_of_a_turn_is_refused_by_itself
                a_turn_of_starts_sent_again_begins_nothing
                a_turn_that_its_lane_refuses_begins_nothing
            }
            forks {
                a_fork_begins_with_the_entries_of_another_run
                the_steps_of_a_fork_go_on_as_they_were
                a_fork_begins_once
                a_fork_of_something_else_is_a_conflict
                what_waits_at_a_join_of_a_fork_pairs_with_what_comes
                a_gather_of_a_fork_fires_once_with_all_that_it_got
                a_gather_that_nothing_holds_fires_as_the_fork_begins
                a_fork_with_nothing_to_do_completes
                a_fork_is_listed_as_the_newest_run
                a_fork_leaves_its_original_alone
                a_fork_that_has_ended_goes_like_any_run
                a_long_fork_comes_whole
                a_fork_that_is_too_large_is_refused
                a_fork_survives_a_restart
            }
            acts {
                cancelling_ends_a_run
                cancelling_twice_cancels_once
                what_has_ended_is_not_cancelled
                a_run_that_is_not_there_is_not_acted_on
                the_steps_of_a_cancelled_run_are_told
                cancelling_one_run_leaves_the_others
                a_cancel_and_a_last_commit_leave_one_end
                a_dead_letter_gets_another_chance
                attempts_of_a_redriven_step_count_on
                redriving_twice_redrives_once
                only_dead_letters_are_redriven
                a_run_that_has_ended_is_not_redriven
                a_redriven_killer_may_crash_as_often_again
                a_cancelled_run_leaves_only_its_dead_letters
                a_failed_run_leaves_only_its_dead_letters
                the_many_jobs_of_a_run_that_ended_go_in_bounded_calls
            }
            runs {
                runs_are_listed_newest_first
                a_store_without_runs_lists_none
                pages_of_runs_join_whatever_their_size
                runs_are_selected_by_flow_and_status
                a_run_moves_to_its_new_status
                runs_that_start_meanwhile_do_not_move_the_pages
                a_run_that_ends_meanwhile_does_not_move_the_pages
                runs_of_one_moment_are_all_listed
                the_last_page_says_that_it_is_the_last
                the_summary_in_a_page_is_that_of_the_run
                a_page_of_runs_is_never_longer_than_the_most
                a_cursor_that_no_page_gave_is_refused
            }
            versions {
                a_gather_that_is_newer_than_its_run_gets_everything
                a_newer_gather_waits_for_jobs_that_do_not_hold_it
                a_newer_gather_fires_when_the_last_step_is_forgiven
                newer_gathers_fire_one_after_the_other
                a_gather_that_nothing_arrives_at_is_not_armed_by_a_newer_version
                a_gather_that_was_renamed_goes_on_under_its_former_name
                what_holds_a_renamed_gather_is_counted_by_its_former_name
                a_run_that_does_not_know_the_former_name_takes_the_new_one
                a_join_that_was_renamed_goes_on_under_its_former_name
                a_gather_that_was_begun_under_two_names_becomes_one
                a_gather_of_two_former_names_goes_on_under_the_likelier
                a_gather_that_has_fired_takes_no_part_of_another_name
                what_waits_under_two_names_of_a_join_pairs
            }
            jobs {
                a_queue_counts_its_jobs_by_state
                queues_are_listed_by_name_also_when_they_are_empty
                the_jobs_of_a_run_are_its_unfinished_steps
                jobs_are_selected_by_queue
                pages_of_jobs_join_whatever_their_size
                pages_of_jobs_go_on_behind_a_job_that_is_gone
                a_job_shows_where_it_is
                a_finished_job_is_not_listed
                a_dead_letter_is_kept_with_its_error
                dead_letters_come_in_pages
                a_dead_letter_is_of_its_last_attempt
                a_page_that_says_no_size_has_the_usual_one
                a_queue_is_served_for_as_long_as_somebody_says_so
            }
            offers {
                a_job_that_comes_meanwhile_is_brought_or_told_of
                what_is_there_already_is_not_waited_for
                an_offer_ends_when_its_time_is_up
                an_offer_that_is_dropped_loses_nothing
                what_an_offer_brought_comes_again_with_the_same_turn
                a_turn_that_tells_of_it_does_not_bring_it_again
                an_offer_is_for_one_place
                an_offer_for_two_queues_brings_one_job
                of_those_who_offer_one_gets_the_job
                an_offer_keeps_the_order_of_a_queue
                the_job_of_a_paused_queue_is_not_given
                a_job_that_is_given_to_nobody_goes_back_soon
                a_job_that_is_given_and_renewed_is_kept
                whoever_leaves_gives_back_what_it_was_given
                a_large_input_comes_whole
                a_job_that_was_given_to_a_dead_instance_has_not_crashed
                an_offer_that_comes_after_the_next_turn_is_void
                the_offer_of_an_instance_that_has_left_is_void
            }
            pause {
                a_paused_queue_gives_out_nothing
                pausing_twice_is_pausing_once
                other_queues_go_on
                what_is_leased_goes_on
                what_comes_while_it_is_paused_waits_in_order
                a_queue_may_be_paused_before_its_first_job
                a_pause_does_not_stop_time
                a_turn_sent_again_still_gets_its_leases_while_paused
            }
            limits {
                a_commit_may_have_as_many_entries_as_the_limit_says
                a_commit_of_one_entry_more_is_refused_whole
                a_payload_may_be_as_large_as_the_limit_says
                a_payload_may_be_as_deep_as_the_limit_says_wherever_it_stands
                a_commit_may_have_as_many_bytes_as_the_limit_says
                a_turn_may_have_as_many_writes_as_the_limit_says
                a_step_may_cause_thousands_of_jobs
                names_may_be_as_long_as_the_limit_says
                a_long_run_is_read_whole
            }
            clocks {
                ids_never_go_back_with_the_clock
                a_machine_that_slept_loses_no_lease
                a_late_tick_spares_for_one_whole_lease
                ticks_that_come_in_time_spare_nothing
                a_tick_that_is_just_too_late_spares
                a_clock_that_went_back_takes_no_lease_away
                a_clock_that_went_forward_makes_delayed_jobs_due
                a_lease_runs_out_at_its_deadline_not_before
            }
            hostile {
                any_text_comes_back_as_it_was
                any_text_may_be_a_key
                keys_that_mean_something_to_us_mean_nothing_in_a_payload
                integers_keep_every_digit
                fractions_keep_every_bit
                an_empty_list_is_no_empty_object
                every_kind_of_json_may_be_a_payload
                a_missing_key_is_not_a_key_of_null
                deep_json_comes_back
                wide_json_comes_back
                any_text_may_be_an_error_a_reason_and_a_log_line
                names_may_hold_whatever_is_visible
                queues_whose_names_look_alike_are_apart
            }
            damage {
                what_is_too_deep_to_be_read_back_holds_up_nobody
                an_input_that_is_damaged_makes_a_dead_letter
                what_a_damaged_input_stops_is_told_once
                a_run_goes_on_without_a_step_that_may_fail_and_cannot_be_read
                an_event_that_is_damaged_makes_a_dead_letter_of_its_step
                an_offer_brings_nothing_that_cannot_be_read
                a_reader_of_a_damaged_run_is_told_where_it_is_damaged
                a_gather_whose_list_is_damaged_is_told_so
                a_start_of_a_run_whose_input_is_damaged_is_told_so
                a_queued_job_that_is_damaged_is_a_dead_letter
                a_leased_job_that_is_damaged_is_a_dead_letter
                a_delayed_job_that_is_damaged_is_a_dead_letter
                a_damaged_job_is_listed
                a_damaged_run_can_be_cancelled_and_goes
            }
            retention {
                a_finished_run_goes_when_its_time_is_over
                a_run_that_is_gone_leaves_nothing
                the_id_of_a_run_that_is_gone_is_free
                failed_and_cancelled_runs_are_kept_by_their_own_time
                an_active_run_never_goes
                without_a_time_runs_are_kept_for_ever
                a_time_longer_than_history_keeps_everything
                many_runs_go_in_bounded_calls
                late_log_lines_do_not_prolong_a_run
                a_run_that_ended_while_the_clock_was_ahead_holds_up_no_other
                a_run_that_ended_while_the_clock_was_ahead_goes_too
                runs_go_by_their_own_end_whatever_the_order
            }
            restart {
                timelines_and_listings_survive
                queued_jobs_are_leased_after_it
                a_turn_sent_again_after_it_gets_the_same_answers
                held_jobs_go_on_with_another_and_the_old_fence_is_refused
                delayed_jobs_come_after_it
                half_joins_and_unfired_gathers_go_on
                a_pause_survives
                a_start_sent_again_after_it_starts_nothing
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
