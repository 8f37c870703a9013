# Prints a gnuplot script that draws one question: a panel for each unit, in it bars by case, a colour for each subject, whiskers from the lowest to
# the highest round, and a logarithmic scale where the values lie far apart.
#   awk -v question=NAME -v image=FILE -v note=TEXT -f plot.awk SUBJECTS TABLE
BEGIN { FS = "\t" }
FILENAME == ARGV[1] { role[$1] = $2; next }
$1 == "case" && $5 == "unit" { next }
{
    if (!($5 in cases)) {
        cases[$5] = 0
        units[++nunits] = $5
    }
    if (!($1 in unit)) {
        unit[$1] = $5
        case_of[$5, ++cases[$5]] = $1
    }
    if (!($2 in seen)) {
        seen[$2] = 1
        all[++nall] = $2
    }
    has[$5, $2] = 1
    n = ++count[$1, $2]
    for (i = n - 1; i > 0 && value[$1, $2, i] > $4 + 0; i--)
        value[$1, $2, i + 1] = value[$1, $2, i]
    value[$1, $2, i + 1] = $4 + 0
}
function escaped(text) {
    gsub(/'/, "''", text)
    return text
}
# Ours first, and the floor last, so that they are found at the same side everywhere.
function order(    r, i, roles) {
    split("ours peer floor", roles, " ")
    for (r = 1; r <= 3; r++)
        for (i = 1; i <= nall; i++)
            if (role[all[i]] == roles[r])
                subject[++nsubjects] = all[i]
}
END {
    if (nunits == 0)
        exit
    order()
    split("#1b4f9c #6fa8dc #0b7a75 #8e44ad", ours, " ")
    split("#d95f02 #e6ab02 #66a61e #c2185b #a6761d #17becf #f08080 #7f7fff #556b2f #b39ddb", peer, " ")
    split("#555555 #9e9e9e #c8c8c8", floor, " ")
    for (i = 1; i <= nsubjects; i++) {
        r = role[subject[i]]
        n = ++used[r]
        colour[subject[i]] = r == "ours" ? ours[(n - 1) % 4 + 1] : r == "peer" ? peer[(n - 1) % 10 + 1] : floor[(n - 1) % 3 + 1]
    }
    printf "set terminal pngcairo size 1500,%d font 'DejaVu Sans,11' background '#ffffff'\n", 70 + 430 * nunits
    printf "set output '%s'\n", escaped(image)
    print "set datafile missing '-'"
    print "set style data histograms\nset style histogram errorbars gap 1.5 lw 1\nset style fill solid 0.9 border -1\nset boxwidth 0.92"
    print "set key outside right top vertical Left reverse samplen 1.5 noenhanced\nset xtics noenhanced\nset grid ytics lc '#d8d8d8'\nset bars small"
    printf "set multiplot layout %d,1 title '%s' noenhanced font ',14'\n", nunits, escaped(question ": " note)
    for (u = 1; u <= nunits; u++) {
        least = most = ""
        longest = 0
        printf "$data << EOD\n"
        for (i = 1; i <= cases[units[u]]; i++) {
            c = case_of[units[u], i]
            if (length(c) > longest)
                longest = length(c)
            printf "\"%s\"", c
            for (k = 1; k <= nsubjects; k++) {
                if (!((units[u], subject[k]) in has))
                    continue
                n = count[c, subject[k]]
                if (n == 0) {
                    printf " - - -"
                    continue
                }
                low = value[c, subject[k], 1]
                high = value[c, subject[k], n]
                printf " %g %g %g", value[c, subject[k], int((n + 1) / 2)], low, high
                if (low > 0 && (least == "" || low < least))
                    least = low
                if (most == "" || high > most)
                    most = high
            }
            printf "\n"
        }
        printf "EOD\n"
        logarithmic = least != "" && most / least > 20
        if (logarithmic)
            printf "set logscale y\nset yrange [%g:%g]\n", least / 1.6, most * 1.6
        else
            printf("unset logscale y\nset yrange [0:%g]\n", most > 0 ? most * 1.1 : 1)
        printf "set ylabel '%s%s' noenhanced\n", escaped(units[u]), logarithmic ? " (logarithmic)" : ""
        print(longest * cases[units[u]] > 120 ? "set xtics rotate by -25" : "set xtics norotate")
        printf "plot "
        column = 2
        separator = ""
        for (k = 1; k <= nsubjects; k++) {
            if (!((units[u], subject[k]) in has))
                continue
            printf "%s$data using %d:%d:%d:xtic(1) title '%s' lc rgb '%s'", separator, column, column + 1, column + 2, escaped(subject[k]), colour[subject[k]]
            separator = ", "
            column += 3
        }
        printf "\n"
    }
    print "unset multiplot"
}
