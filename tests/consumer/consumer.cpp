// The plain functions, from C++17.
#include <yoke/yoke.h>

#include <atomic>
#include <cstdio>

static std::atomic<int> count{0};

static int child(void *)
{
    count++;
    return yoke_sleep(YOKE_MS(1));
}

static int app(void *)
{
    yoke_group_options options = {};
    options.size = sizeof options;
    options.name = "children";
    yoke_group group = yoke_group_open(&options);
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = yoke_spawn_task(group, child, nullptr, 0, nullptr);
    yoke_forked fork;
    yoke_fork(&fork, child, nullptr);
    int joined = yoke_join(&fork);
    rc = yoke_group_close(group, rc);
    return rc < 0 ? rc : joined;
}

int main()
{
    yoke_options options = {};
    options.size = sizeof options;
    options.workers = 2;
    int rc = yoke_run(app, nullptr, &options);
    std::printf("%d %d\n", rc, count.load());
    return rc == 0 && count == 11 ? 0 : 1;
}
