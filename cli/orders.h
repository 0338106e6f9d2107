/* orders: what may be ordered for a table, checked and carried out; for the command line and the API alike.
 * The order and its line of the trail are durable when orders_give returns; a server's parts obey within a second, without a
 * server orders_settle does what they would. Threads: as the instance. */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"
#include "staging/controls.h"

bool orders_can_pull(const struct source_config *s, const struct table_rule *t); /* it has a list API */
/* What keeps it from being ordered: ERR_INPUT with words. table_rule as instance_table gives it. */
bool orders_check(const struct source_config *s, const struct table_rule *t, const struct control_order *o, struct err *err);
/* Writes it, and wakes who obeys. `o` without source, table and time. */
bool orders_give(struct instance *in, const struct source_config *s, const struct table_rule *t, struct control_order *o,
                 struct table_control *ret, struct err *err);
/* Waits until the table is cleared, with a server some seconds; without one the merge runs here. *ret_done false: it will be. */
bool orders_settle(struct instance *in, const struct source_config *s, const struct table_rule *t, bool *ret_done,
                   struct err *err);
