// parallel_tbb CASE WORKERS N: the cases of ../parallel.c with oneTBB.
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_reduce.h>
#include <oneapi/tbb/parallel_scan.h>
#include <oneapi/tbb/parallel_sort.h>

#include <functional>
#include <string>
#include <vector>

#include "../parallel.h"

using range = tbb::blocked_range<std::size_t>;

int main(int argc, char **argv)
{
    const std::string what = argc > 1 ? argv[1] : "for";
    const int workers = number(argc, argv, 2, 1);
    const std::size_t n = static_cast<std::size_t>(number(argc, argv, 3, 1000000));
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(workers));
    const bool by_words = what == "words";
    std::vector<std::uint32_t> out(what == "scan" ? n : 0);
    std::uint32_t *v = by_words ? nullptr : numbers(n);
    const char **w = by_words ? words(n) : nullptr;
    const std::vector<std::uint32_t> backup(v, v + (what == "sort" ? n : 0));
    const std::vector<const char *> backup_words(w, w + (by_words ? n : 0));
    const auto before = [](const char *a, const char *b) { return strcmp(a, b) < 0; };
    double best = 0;
    for (int round = 0; round <= ROUNDS; round++) {
        std::copy(backup.begin(), backup.end(), v);
        std::copy(backup_words.begin(), backup_words.end(), w);
        std::uint64_t result = 0;
        bool good = true;
        const double begin = now_ns();
        if (what == "for") {
            tbb::parallel_for(range(0, n), [=](const range &r) {
                for (std::size_t i = r.begin(); i < r.end(); i++)
                    v[i] = hash(static_cast<std::uint32_t>(i));
            });
        } else if (what == "reduce") {
            result = tbb::parallel_reduce(range(0, n), std::uint64_t{0},
                [=](const range &r, std::uint64_t sum) { return sum + squares(v, r.begin(), r.end()); }, std::plus<std::uint64_t>());
        } else if (what == "scan") {
            std::uint32_t *to = out.data();
            result = tbb::parallel_scan(range(0, n), std::uint32_t{0},
                [=](const range &r, std::uint32_t sum, bool final) {
                    if (final)
                        for (std::size_t i = r.begin(); i < r.end(); i++)
                            to[i] = sum += v[i];
                    else
                        for (std::size_t i = r.begin(); i < r.end(); i++)
                            sum += v[i];
                    return sum;
                }, std::plus<std::uint32_t>());
        } else if (what == "sort") {
            tbb::parallel_sort(v, v + n);
        } else {
            tbb::parallel_sort(w, w + n, before);
        }
        const double took = now_ns() - begin;
        if (round == 0) {
            std::uint32_t total = 0;
            if (what == "for") {
                for (std::size_t i = 0; i < n; i++)
                    good &= v[i] == hash(static_cast<std::uint32_t>(i));
            } else if (what == "reduce") {
                good = result == squares(v, 0, n);
            } else if (what == "scan") {
                for (std::size_t i = 0; i < n; i++)
                    good &= out[i] == (total += v[i]);
            } else if (what == "sort") {
                good = std::is_sorted(v, v + n);
            } else {
                good = std::is_sorted(w, w + n, before);
            }
            if (!good)
                wrong(what.c_str());
        } else if (round == 1 || took < best) {
            best = took;
        }
    }
    print_result((what + "-" + std::to_string(workers)).c_str(), "oneTBB", best / 1e6, "ms");
    return 0;
}
