/* SPDX-License-Identifier: Apache-2.0 */
/* Everything an application needs, in one include; docs/examples/hello.c shows it at work. */
#ifndef SWITCHYARD_SWITCHYARD_H
#define SWITCHYARD_SWITCHYARD_H

#include "switchyard/adapter.h"
#include "switchyard/blob_files.h"
#include "switchyard/conf.h"
#include "switchyard/conversation.h"
#include "switchyard/embed.h"
#include "switchyard/engine.h"
#include "switchyard/gguf.h"
#include "switchyard/importance.h"
#include "switchyard/limits.h"
#include "switchyard/model.h"
#include "switchyard/registry.h"
#include "switchyard/scheduler.h"
#include "switchyard/score.h"
#include "switchyard/session.h"
#include "switchyard/speculate.h"
#include "switchyard/version.h"

#endif
