# Statistics of many estimates of pi: a table, a plot in characters and, with -v svg=FILE, one as SVG.
#
#     awk -v svg=FILE -f summarise.awk estimates.txt
#
# Reads lines "N seed points-inside estimate", sorted by N. Exit code 1 if pi or the fall of the error is not what it
# should be.

# The scatter of one estimate from n points, in theory: 4 times that of a binomial share with p = pi / 4.
function theory(n) {
    return sqrt(pi * (4 - pi) / n)
}

# A line of k characters c.
function line(c, k,    s) {
    while (k-- > 0)
        s = s c
    return s
}

# Columns and rows of the plot in characters; both axes are logarithmic.
function column(n) {
    return int(0.5 + (wide - 1) * log(n / size[1]) / log(size[sizes] / size[1]))
}

function row(y) {
    return int(0.5 + (high - 1) * log(top / y) / log(top / bottom))
}

# Pixels of the plot as SVG.
function px(n) {
    return 80 + 380 * log(n / left) / log(right / left)
}

function py(y) {
    return 50 + 240 * log(top / y) / log(top / bottom)
}

function text(x, y, anchor, words) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, words > svg
}

function segment(x1, y1, x2, y2, colour) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour > svg
}

function draw_svg(    i, n, x, y, decade, digit, spread) {
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 500 350\" font-family=\"sans-serif\" font-size=\"12\">" > svg
    print "<rect width=\"500\" height=\"350\" fill=\"white\"/>" > svg
    text(270, 25, "middle", "Scatter of Monte Carlo estimates of pi: measured, and 1.64 / sqrt(N)")
    segment(80, 290, 460, 290, "black")
    segment(80, 50, 80, 290, "black")
    split("1 2 5", digit)
    for (decade = 0.0001; decade < top; decade *= 10)
        for (i = 1; i <= 3; i++) {
            y = decade * digit[i]
            if (y < bottom || y > top)
                continue
            segment(75, py(y), 80, py(y), "black")
            text(70, py(y) + 4, "end", y)
        }
    segment(px(left), py(theory(left)), px(right), py(theory(right)), "steelblue")
    for (i = 1; i <= sizes; i++) {
        n = size[i]
        x = px(n)
        segment(x, 290, x, 295, "black")
        text(x, 310, "middle", n)
        # A standard deviation from k values is itself known to one part in sqrt(2 (k - 1)).
        spread = 1 / sqrt(2 * (runs[n] - 1))
        segment(x, py(sd[n] * (1 + spread)), x, py(sd[n] * (1 - spread)), "firebrick")
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"firebrick\"/>\n", x, py(sd[n]) > svg
    }
    text(270, 335, "middle", "points N")
    print "</svg>" > svg
    close(svg)
}

function draw_characters(    i, j, n, cell, label) {
    for (i = 0; i < wide; i++) {
        n = size[1] * exp(log(size[sizes] / size[1]) * i / (wide - 1))
        cell[row(theory(n)), i] = "."
    }
    for (i = 1; i <= sizes; i++)
        cell[row(sd[size[i]]), column(size[i])] = "o"
    print "standard deviation of one estimate   (o measured, . theory; both axes are logarithmic)"
    print ""
    for (j = 0; j < high; j++) {
        label = j % 4 ? "" : sprintf("%.4f", top * exp(log(bottom / top) * j / (high - 1)))
        printf "%8s |", label
        for (i = 0; i < wide; i++)
            printf "%s", ((j, i) in cell ? cell[j, i] : " ")
        print ""
    }
    printf "%8s +%s\n%10s%-*d%*d points\n", "", line("-", wide), "", wide - 6, size[1], 6, size[sizes]
}

BEGIN {
    pi = atan2(0, -1)
    wide = 61
    high = 17
}

{
    if (!($1 in runs))
        size[++sizes] = $1
    estimate[$1, ++runs[$1]] = $4
}

END {
    print "Monte Carlo estimates of pi = " sprintf("%.6f", pi)
    print ""
    print "  points  runs  mean      std error  (mean - pi)    std dev of one run"
    print "                          of mean    / std error    measured  theory"
    for (i = 1; i <= sizes; i++) {
        n = size[i]
        sum = squares = 0
        for (k = 1; k <= runs[n]; k++)
            sum += estimate[n, k]
        mean = sum / runs[n]
        for (k = 1; k <= runs[n]; k++)
            squares += (estimate[n, k] - mean) ^ 2
        sd[n] = sqrt(squares / (runs[n] - 1))
        error = sd[n] / sqrt(runs[n])
        off = (mean - pi) / error
        if (off > 4 || off < -4)
            wrong = wrong sprintf("; the mean for %d points is %.1f standard errors off", n, off)
        printf "%8d  %4d  %.6f  %.6f   %+10.2f     %.6f  %.6f\n", n, runs[n], mean, error, off, sd[n], theory(n)
        x = log(n)
        y = log(sd[n])
        sx += x
        sy += y
        sxx += x * x
        sxy += x * y
    }

    # A straight line through log(std dev) over log(N), by least squares.
    slope = (sizes * sxy - sx * sy) / (sizes * sxx - sx * sx)
    slope_error = sqrt(sizes / (2 * (runs[size[1]] - 1)) / (sizes * sxx - sx * sx))
    if (slope + 0.5 > 4 * slope_error || slope + 0.5 < -4 * slope_error)
        wrong = wrong sprintf("; the error falls as N^%.2f and not as N^-0.5", slope)
    print ""
    printf "The error falls as N^(%.2f +- %.2f); theory says N^-0.50.\n\n", slope, slope_error

    top = 2 * theory(size[1])
    bottom = theory(size[sizes]) / 2
    left = size[1] / 1.5
    right = size[sizes] * 1.5
    draw_characters()
    if (svg != "")
        draw_svg()
    if (wrong != "") {
        print "\nwrong: " substr(wrong, 3)
        exit 1
    }
}
