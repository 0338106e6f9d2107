/* registry: every command of sluice. A new command is one file cli/cmd_<name>.c and one row in registry.c. */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"

#define COMMAND_FUNCTION(name) int name(struct instance *in, const struct command_args *a, const struct command_io *io)

COMMAND_FUNCTION(cmd_serve);
COMMAND_FUNCTION(cmd_backfill);
COMMAND_FUNCTION(cmd_merge);
COMMAND_FUNCTION(cmd_drain);
COMMAND_FUNCTION(cmd_status);
COMMAND_FUNCTION(cmd_source_list);
COMMAND_FUNCTION(cmd_source_show);
COMMAND_FUNCTION(cmd_source_check);
COMMAND_FUNCTION(cmd_table_list);
COMMAND_FUNCTION(cmd_table_head);
COMMAND_FUNCTION(cmd_table_explain);
COMMAND_FUNCTION(cmd_events_list);
COMMAND_FUNCTION(cmd_events_show);
COMMAND_FUNCTION(cmd_events_check);
COMMAND_FUNCTION(cmd_events_replay);
COMMAND_FUNCTION(cmd_dead_list);
COMMAND_FUNCTION(cmd_dead_show);
COMMAND_FUNCTION(cmd_dead_retry);
COMMAND_FUNCTION(cmd_dead_drop);
COMMAND_FUNCTION(cmd_secret_list);
COMMAND_FUNCTION(cmd_secret_add);
COMMAND_FUNCTION(cmd_secret_rotate);
COMMAND_FUNCTION(cmd_webhook_register);
COMMAND_FUNCTION(cmd_webhook_list);
COMMAND_FUNCTION(cmd_webhook_info);
COMMAND_FUNCTION(cmd_webhook_update);
COMMAND_FUNCTION(cmd_webhook_delete);
COMMAND_FUNCTION(cmd_connect);
COMMAND_FUNCTION(cmd_table_pause);
COMMAND_FUNCTION(cmd_table_resume);
COMMAND_FUNCTION(cmd_table_cancel);
COMMAND_FUNCTION(cmd_table_pull);
COMMAND_FUNCTION(cmd_table_reset);
COMMAND_FUNCTION(cmd_table_drop);
COMMAND_FUNCTION(cmd_table_set);
COMMAND_FUNCTION(cmd_table_audit);
COMMAND_FUNCTION(cmd_deliveries);
COMMAND_FUNCTION(cmd_trace);
COMMAND_FUNCTION(cmd_verify);
COMMAND_FUNCTION(cmd_capture);
COMMAND_FUNCTION(cmd_transform);
COMMAND_FUNCTION(cmd_send);
COMMAND_FUNCTION(cmd_prove);
COMMAND_FUNCTION(cmd_init);
COMMAND_FUNCTION(cmd_config_check);

/* NULL when there is none. `sub` NULL: a command without one. */
const struct command *command_find(const char *name, const char *sub);
