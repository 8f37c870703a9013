# Prints one question's medians, case by case, with the ratio to the best peer and the goals.
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
}

# Sorts the values of a case and subject, once.
function sort(c, s,    i, k, v) {
    if ((c, s) in sorted)
        return
    sorted[c, s] = 1
    for (i = 2; i <= count[c, s]; i++) {
        v = value[c, s, i]
        for (k = i - 1; k > 0 && value[c, s, k] > v; k--)
            value[c, s, k + 1] = value[c, s, k]
        value[c, s, k + 1] = v
    }
}
function median(c, s) {
    if (!((c, s) in count))
        return ""
    sort(c, s)
    return value[c, s, int((count[c, s] + 1) / 2)]
}
function more_is_better(c) {
    return unit[c] ~ /\/s$/
}
# The best of the others of one role.
function best_of(c, not_this, wanted,    i, s, found) {
    found = ""
    for (i = 1; i <= nsubjects[c]; i++) {
        s = subjects[c, i]
        if (s == not_this || role[s] != wanted)
            continue
        if (found == "" || (more_is_better(c) ? median(c, s) > median(c, found) : median(c, s) < median(c, found)))
            found = s
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
function quotient(x, y) {
    return x == "" || y == "" || y == 0 ? "" : x / y
}
function judge(text, v, operator, limit) {
    if (v == "") {
        printf "      goal: %s %s %s: not measured\n", text, operator, limit
        return
    }
    printf "      goal: %s %s %s: %s, %s\n", text, operator, limit, short(v), (operator == "<=" ? v <= limit : v >= limit) ? "holds" : "DOES NOT HOLD"
}
# Prints a goal that belongs to this case; to none: `c` is "".
function judge_goal(i, c,    n, p, other, k, first, most, v) {
    n = split(goal[i], p, " ")
    if (p[1] == "goal" && belongs(p[2], c)) {
        judge(p[3], median(p[2], p[3]), p[4], p[5])
    } else if (p[1] == "speedup" && belongs(p[3], c)) {
        judge(p[4] ": " p[2] " over " p[3], quotient(median(p[2], p[4]), median(p[3], p[4])), ">=", p[5])
    } else if (p[1] == "ratio" && belongs(p[2], c)) {
        other = p[4] == "best" ? best_of(p[2], p[3], "peer") : p[4]
        judge(p[3] " over " (p[4] == "best" ? "the best peer" : p[4]), quotient(median(p[2], p[3]), median(p[2], other)), p[5], p[6])
    } else if (p[1] == "growth" && belongs(p[n], c)) {
        first = median(p[5], p[2])
        most = first
        for (k = 6; k <= n; k++) {
            v = median(p[k], p[2])
            if (v == "") {
                most = ""
                break
            }
            if (v > most)
                most = v
        }
        judge(p[2] ": most of " p[5] " to " p[n] " over " p[5], quotient(most, first), p[3], p[4])
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
            m = median(c, s)
            other = role[s] == "ours" ? best(c, s) : ""
            r = other == "" ? "" : quotient(m, median(c, other))
            compared = r == "" ? "" : sprintf("%.2f (%s)", r, other)
            line = sprintf("  %-20s %-30s %10s %10s %10s  %-20s %s", k == 1 ? c : "", s (version[s] == "" ? "" : " " version[s]), short(m), short(value[c, s, 1]),
                           short(value[c, s, count[c, s]]), unit[c], compared)
            sub(/ +$/, "", line)
            print line
        }
        for (k = 1; k <= goals; k++)
            judge_goal(k, c)
    }
    for (k = 1; k <= goals; k++)
        judge_goal(k, "")
}
