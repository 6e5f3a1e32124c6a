//! Tests on a real cluster: what is promised to users holds for the parts put together.
//!
//! They need `KUBECONFIG` and the images under test in `MODELWRIGHT_OPERATOR_IMAGE`, `MODELWRIGHT_RUNTIME_IMAGE`, `MODELWRIGHT_TRAINER_IMAGE`, `MODELWRIGHT_TRAINERKERAS_IMAGE` and
//! `MODELWRIGHT_STORE_IMAGE`, and data to train on in the folder `MODELWRIGHT_TEST_DATA`; without them every test is reported as ignored. Pods and Services must be reachable from
//! here, as they are with `tests/cluster`. Tests run side by side, each in a namespace of its own; those that change the
//! operator itself run alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::large_futures
)]

mod harness;

mod argocd;
mod bad_input;
mod capacity;
mod chart;
mod children;
mod deleting;
mod evaluations;
mod examples;
mod failover;
mod imports;
mod kinds;
mod kueue;
mod losses;
mod meddling;
mod monitoring;
mod networks;
mod operator;
mod own_code;
mod rollbacks;
mod rollouts;
mod servers;
mod serving;
mod standins;
mod steady;
mod training;
mod unreadable;
mod variants;
mod versions;

use std::process::ExitCode;

use harness::run::{alone, full, side_by_side};

fn main() -> ExitCode {
    let mut cases = side_by_side![
        servers::the_servers_to_import_from_serve_and_fail_as_asked,
        bad_input::every_mistake_is_told_with_its_way_out_and_what_serves_goes_on,
        kinds::explain_prints_every_field_with_its_default,
        kinds::the_spec_of_a_model_version_cannot_be_changed,
        kinds::get_wait_scale_and_describe_work_as_for_built_in_kinds,
        imports::a_model_is_imported_served_and_answers,
        imports::what_strangers_bring_is_taken_by_the_images_and_the_definitions,
        imports::the_same_model_comes_in_from_every_kind_of_source,
        imports::bytes_that_miss_their_pin_make_no_version,
        imports::a_connection_that_breaks_makes_no_version,
        imports::credentials_go_to_the_host_that_their_secret_names_only,
        versions::equal_bytes_from_two_addresses_are_one_version,
        versions::a_spec_that_returns_resolves_to_its_old_version_without_a_run,
        versions::an_artifact_of_modelwright_keeps_its_samples_in_another_namespace,
        versions::an_artifact_with_an_evaluation_brings_its_metrics_and_test_rows,
        training::a_csv_of_real_patients_becomes_a_served_model,
        training::a_client_sends_raw_values_of_text_and_numbers,
        training::a_regression_is_trained_and_judged_by_its_error,
        training::a_missed_gate_keeps_the_present_version_and_a_revert_starts_no_job,
        training::a_trainer_that_lies_in_its_report_is_caught,
        own_code::code_of_ones_own_trains_inline_and_from_a_pinned_config_map,
        training::versions_beyond_the_newest_go_but_never_what_serves_or_is_kept,
        variants::other_variants_are_made_of_the_kept_artifact_without_a_training,
        variants::a_version_without_its_variants_is_made_of_its_artifact_alone,
        evaluations::an_import_is_measured_gated_and_quantised,
        evaluations::a_keras_file_becomes_onnx_and_one_with_code_is_refused,
        evaluations::data_that_a_model_does_not_take_are_told_by_their_field,
        training::an_evicted_pod_does_not_count_and_another_one_trains,
        training::a_run_is_suspended_and_its_progress_is_seen,
        training::one_apply_of_forty_lines_trains_and_serves,
        // far from the other one that fills the node
        deleting::a_namespace_in_the_middle_of_everything_goes,
        examples::each_example_of_a_source_is_imported,
        examples::each_example_of_a_training_becomes_a_version,
        networks::the_articles_network_and_a_recurrent_one_answer_as_keras_did,
        examples::the_example_of_an_image_of_ones_own_trains_boosted_trees_and_serves,
        examples::the_example_with_a_gpu_gets_one_and_says_that_it_finds_no_cuda,
        serving::a_served_model_speaks_the_open_inference_protocol,
        serving::a_served_model_speaks_grpc_through_its_service,
        serving::deleting_a_serving_pod_under_load_loses_no_request,
        rollouts::a_new_version_and_its_revert_lose_no_request,
        rollouts::a_pinned_version_stays_until_the_pin_is_removed,
        rollouts::a_paused_deployment_rolls_out_when_it_is_resumed,
        rollouts::scaling_up_and_down_loses_no_request,
        rollouts::a_deployment_made_before_its_model_starts_when_the_model_is_there,
        rollouts::a_model_in_use_is_kept_until_its_deployment_goes,
        rollbacks::a_revision_without_an_image_is_rolled_back_and_retried_on_request_only,
        rollbacks::a_spec_reverted_after_a_rollback_is_healthy_and_the_bad_one_stays_refused,
        rollbacks::a_first_revision_that_cannot_start_is_degraded_and_a_better_spec_mends_it,
        rollbacks::an_aborted_rollout_goes_back_and_is_not_tried_again,
        rollbacks::a_status_deleted_in_the_middle_of_a_rollout_promotes_nothing,
        children::a_restart_of_deployments_finds_nothing_and_stops_no_rollout,
        children::a_policy_that_changes_templates_is_not_fought_and_rollouts_complete,
        meddling::a_service_that_cannot_be_written_stops_neither_repair_nor_rollouts,
        meddling::what_others_put_into_our_objects_is_taken_out,
        meddling::ready_is_never_said_while_a_policy_keeps_the_service_without_endpoints,
        meddling::a_deployment_deleted_and_created_at_once_serves_again,
        deleting::each_kind_in_each_phase_leaves_nothing,
        losses::a_run_whose_pod_is_lost_becomes_a_version_without_another_training,
        losses::a_small_model_is_imported_and_served_where_containers_may_be_small_only,
        losses::the_first_requests_after_promoted_are_all_answered,
        standins::a_program_in_place_of_prove_cannot_write_to_the_bundled_store,
        losses::what_a_run_tries_again_is_told_by_its_pod_and_its_model_until_the_server_comes,
        capacity::one_gpu_is_given_and_three_are_said_to_be_too_many,
        capacity::cuda_without_a_gpu_is_a_failure_unless_the_spec_allows_the_cpu,
        capacity::evictions_take_one_ready_pod_at_a_time,
        operator::the_operator_reports_its_health_and_its_counters,
        operator::the_operator_has_no_right_on_secrets,
        operator::objects_restored_without_owners_are_adopted_without_a_run,
        monitoring::alerts_and_dashboard_name_what_is_really_counted,
        steady::everything_exported_deleted_without_its_dependents_and_applied_again_serves_on,
        operator::every_pod_passes_the_restricted_standard,
        chart::the_roles_for_people_allow_what_their_names_say,
        chart::an_editor_keeps_a_version_and_changes_nothing_else_of_it,
        chart::network_policies_select_the_pods_of_the_release,
    ];
    cases.extend(alone![
        training::an_upgrade_with_another_trainer_trains_nothing_again,
        steady::twenty_resources_at_rest_are_not_written_to,
        children::a_template_changed_by_hand_is_put_back_and_the_pods_born_of_it_leave,
        meddling::an_outage_of_the_clusters_controllers_rolls_nothing_back,
        deleting::with_the_operator_down_the_documented_commands_free_what_was_deleted,
        unreadable::what_does_not_parse_in_one_namespace_stops_nothing_in_another,
        failover::a_killed_operator_ends_its_run_and_its_rollout,
        failover::another_replica_takes_over_from_a_leader_that_stops_or_freezes,
        operator::an_operator_of_one_namespace_sees_no_other,
        chart::artifacts_go_to_a_store_of_ones_own,
        chart::artifacts_go_to_an_object_store_or_a_claim,
        chart::a_rollout_without_the_store_goes_back_and_later_forward,
        losses::a_pod_whose_sandbox_is_made_anew_serves_without_the_store,
        chart::upgrading_renews_the_crds_and_uninstalling_keeps_them_and_what_serves,
    ]);
    cases.extend(full![
        networks::every_other_example_of_a_network_answers_as_keras_did,
        networks::equal_runs_give_equal_bytes_whatever_the_limit_of_the_pod,
        networks::a_lost_pod_goes_on_from_its_checkpoint_and_ends_with_the_same_bytes,
        networks::a_network_starts_from_the_weights_of_a_version,
        networks::variants_are_made_proven_and_served,
        argocd::a_bad_version_is_degraded_until_git_reverts_it,
        argocd::a_field_that_does_not_exist_is_a_difference,
        argocd::the_chart_is_synced_without_a_difference,
        kueue::runs_wait_for_the_quota_of_their_queue_and_each_becomes_a_version,
        kueue::a_run_that_is_preempted_is_no_failure_and_follows_later,
        kueue::a_timeout_for_ready_pods_below_the_length_of_a_run_is_told_with_its_way_out,
    ]);
    harness::run::all(cases)
}
