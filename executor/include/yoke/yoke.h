/*
 * yoke/yoke.h - all of yoke.
 */
#ifndef YOKE_YOKE_H
#define YOKE_YOKE_H

#include <yoke/base.h>
#include <yoke/blocking.h>
#include <yoke/fail.h>
#include <yoke/fork.h>
#include <yoke/group.h>
#include <yoke/io/file.h>
#include <yoke/io/stream.h>
#include <yoke/io/wait.h>
#include <yoke/local.h>
#include <yoke/nosuspend.h>
#include <yoke/parallel.h>
#include <yoke/post.h>
#include <yoke/run.h>
#include <yoke/scope.h>
#include <yoke/sync/channel.h>
#include <yoke/sync/event.h>
#include <yoke/sync/mutex.h>
#include <yoke/sync/semaphore.h>
#include <yoke/task.h>
#include <yoke/time.h>

#endif
