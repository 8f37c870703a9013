# Prints one question's medians, case by case, with the ratio to the best peer and the goals. A ratio is the median of the rounds' ratios, and not the
# ratio of the medians: what is compared ran within minutes then, and the machine's speed, which may change by half within a run, counts for both.
#   awk -f table.awk SUBJECTS GOALS TABLE
# SUBJECTS: subject, "ours", "peer" or "floor", version. GOALS: as scripts/perf notes them. TABLE: case, subject, round, value, unit; with a heading.
BEGIN { FS = "\t" }
FILENAME == ARGV[1] { role[$1] = $2; version[$1] = $3; next }
FILENAME == ARGV[2] { goal[++goals] = $0; next }
$1 == "case" && $5 == "unit" { next }
{
    if (!($1 in unit)) {
        unit[$1] = $5
        cases[++ncases] = $1
    }
    if (!(($1, $2) in count))
        subjects[$1, ++nsubjects[$1]] = $2
    value[$1, $2, ++count[$1, $2]] = $4 + 0
    in_round[$1, $2, $3] = $4 + 0
    if (!($3 in known_round)) {
        known_round[$3] = 1
        rounds[++nrounds] = $3
    }
}

# Sorts v[1] to v[n].
function sort(v, n,    i, k, x) {
    for (i = 2; i <= n; i++) {
        x = v[i]
        for (k = i - 1; k > 0 && v[k] > x; k--)
            v[k + 1] = v[k]
        v[k + 1] = x
    }
}
# The given place in the order of a case's and subject's values: 0 the lowest, 1 the highest.
function quantile(c, s, place,    n, v, i) {
    if (!((c, s) in count))
        return ""
    n = count[c, s]
    for (i = 1; i <= n; i++)
        v[i] = value[c, s, i]
    sort(v, n)
    return v[int(1 + (n - 1) * place)]
}
function median(c, s) {
    return quantile(c, s, 0.5)
}
# The median of the ratios within each round in which both ran.
function ratio(c, s, to, other,    i, r, v, found) {
    found = 0
    for (i = 1; i <= nrounds; i++) {
        r = rounds[i]
        if (((c, s, r) in in_round) && ((to, other, r) in in_round) && in_round[to, other, r] != 0)
            v[++found] = in_round[c, s, r] / in_round[to, other, r]
    }
    if (found == 0)
        return ""
    sort(v, found)
    return v[int((found + 1) / 2)]
}
function more_is_better(c) {
    return unit[c] ~ /\/s$/
}
# Who of the others of one role is the best beside `s`: to whom its ratio is the worst.
function best_of(c, s, wanted,    i, other, r, found, worst) {
    found = ""
    for (i = 1; i <= nsubjects[c]; i++) {
        other = subjects[c, i]
        if (other == s || role[other] != wanted)
            continue
        r = ratio(c, s, c, other)
        if (r != "" && (found == "" || (more_is_better(c) ? r < worst : r > worst))) {
            found = other
            worst = r
        }
    }
    return found
}
# The best peer; where there is none, the floor.
function best(c, s,    found) {
    found = best_of(c, s, "peer")
    return found != "" ? found : best_of(c, s, "floor")
}
# Four digits, and no exponent where there is another way.
function short(v) {
    return sprintf(v >= 1000 ? "%.0f" : v > 0 && v < 0.001 ? "%.2g" : "%.4g", v)
}
function judge(text, v, operator, limit) {
    if (v == "") {
        printf "      goal: %s %s %s: not measured\n", text, operator, limit
        return
    }
    printf "      goal: %s %s %s: %s, %s\n", text, operator, limit, short(v), (operator == "<=" ? v <= limit : v >= limit) ? "holds" : "DOES NOT HOLD"
}
# Prints a goal that belongs to this case; to none: `c` is "".
function judge_goal(i, c,    n, p, other, k, r, most) {
    n = split(goal[i], p, " ")
    if (p[1] == "goal" && belongs(p[2], c)) {
        judge(p[3], median(p[2], p[3]), p[4], p[5])
    } else if (p[1] == "speedup" && belongs(p[3], c)) {
        judge(p[4] ": " p[2] " over " p[3], ratio(p[2], p[4], p[3], p[4]), ">=", p[5])
    } else if (p[1] == "ratio" && belongs(p[2], c)) {
        other = p[4] == "best" ? best_of(p[2], p[3], "peer") : p[4]
        judge(p[3] " over " (p[4] == "best" ? "the best peer" : p[4]), ratio(p[2], p[3], p[2], other), p[5], p[6])
    } else if (p[1] == "growth" && belongs(p[n], c)) {
        most = 1
        for (k = 6; k <= n && most != ""; k++) {
            r = ratio(p[k], p[2], p[5], p[2])
            most = r == "" ? "" : r > most ? r : most
        }
        judge(p[2] ": most of " p[5] " to " p[n] " over " p[5], most, p[3], p[4])
    }
}
function belongs(of, c) {
    return c == "" ? !(of in unit) : of == c
}

END {
    printf "  %-20s %-30s %10s %10s %10s  %-20s %s\n", "case", "subject", "median", "lowest", "highest", "unit", "of the best peer's"
    for (i = 1; i <= ncases; i++) {
        c = cases[i]
        for (k = 1; k <= nsubjects[c]; k++) {
            s = subjects[c, k]
            other = role[s] == "ours" ? best(c, s) : ""
            r = other == "" ? "" : ratio(c, s, c, other)
            compared = r == "" ? "" : sprintf("%.2f (%s)", r, other)
            line = sprintf("  %-20s %-30s %10s %10s %10s  %-20s %s", k == 1 ? c : "", s (version[s] == "" ? "" : " " version[s]), short(median(c, s)), short(quantile(c, s, 0)),
                           short(quantile(c, s, 1)), unit[c], compared)
            sub(/ +$/, "", line)
            print line
        }
        for (k = 1; k <= goals; k++)
            judge_goal(k, c)
    }
    for (k = 1; k <= goals; k++)
        judge_goal(k, "")
}
