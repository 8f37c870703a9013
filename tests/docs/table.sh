#!/usr/bin/env bash
# table.sh TABLE.AWK: what the bench's table says of a small run in which the machine becomes three times slower half-way.
set -eu
table=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'yoke\tours\t\nslow\tpeer\t1.0\nquick\tpeer\t2.0\nbare\tfloor\t\n' >"$work/subjects"
# In every round ours takes 1.2 of quick's time, 0.6 of slow's and 2.4 of bare's, and at two workers half of what it takes at one. Of quick
# only the first three rounds are there, whose median is a fast one.
{
    printf 'case\tsubject\tround\tvalue\tunit\n'
    for round in 1 2 3 4 5; do
        slower=$((round > 2 ? 3 : 1))
        printf 'time-1\tyoke\t%d\t%d\tns\n' $round $((slower * 12))
        printf 'time-1\tslow\t%d\t%d\tns\n' $round $((slower * 20))
        ((round > 3)) || printf 'time-1\tquick\t%d\t%d\tns\n' $round $((slower * 10))
        printf 'time-1\tbare\t%d\t%d\tns\n' $round $((slower * 5))
        printf 'time-2\tyoke\t%d\t%d\tns\n' $round $((slower * 6))
        printf 'rate\tyoke\t%d\t%d\tk/s\n' $round $((90 / slower))
        printf 'rate\tslow\t%d\t%d\tk/s\n' $round $((60 / slower))
        printf 'rate\tquick\t%d\t%d\tk/s\n' $round $((180 / slower))
    done
} >"$work/table"
cat >"$work/goals" <<'E2'
goal time-1 yoke <= 36
ratio time-1 yoke bare <= 2.3
ratio time-1 yoke best <= 1.2
ratio rate yoke best >= 0.5
speedup time-1 time-2 yoke 2
growth yoke <= 0.5 time-1 time-2
growth yoke <= 1 time-1 time-2
growth yoke <= 1.9 time-2 time-1
ratio time-2 yoke best <= 1
goal elsewhere yoke <= 1
E2
cat >"$work/expected" <<'E2'
  case                 subject                            median     lowest    highest  unit                 of the best peer's
  time-1               yoke                                   36         12         36  ns                   1.20 (quick)
                       slow 1.0                               60         20         60  ns
                       quick 2.0                              10         10         30  ns
                       bare                                   15          5         15  ns
      goal: yoke <= 36: 36, holds
      goal: yoke over bare <= 2.3: 2.4, DOES NOT HOLD
      goal: yoke over the best peer <= 1.2: 1.2, holds
      goal: yoke: most of time-2 to time-1 over time-2 <= 1.9: 2, DOES NOT HOLD
  time-2               yoke                                   18          6         18  ns
      goal: yoke: time-1 over time-2 >= 2: 2, holds
      goal: yoke: most of time-1 to time-2 over time-1 <= 0.5: 1, DOES NOT HOLD
      goal: yoke: most of time-1 to time-2 over time-1 <= 1: 1, holds
      goal: yoke over the best peer <= 1: not measured
  rate                 yoke                                   30         30         90  k/s                  0.50 (quick)
                       slow 1.0                               20         20         60  k/s
                       quick 2.0                              60         60        180  k/s
      goal: yoke over the best peer >= 0.5: 0.5, holds
      goal: yoke <= 1: not measured
E2
awk -f "$table" "$work/subjects" "$work/goals" "$work/table" >"$work/seen"
diff "$work/expected" "$work/seen"
