// <linux/netfilter.h> is left out on purpose: its in_addr unions clash with Glibc's module.
#include <libnftnl/common.h>
#include <libnftnl/udata.h>
#include <libnftnl/table.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <libnftnl/batch.h>
