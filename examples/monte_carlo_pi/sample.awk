# Throw points at the unit square and estimate pi.
#
#     awk -v samples=N -v seed=S -f sample.awk        prints: N S points-inside estimate
#
# awk's own rand() is another generator in every awk, so this brings one: L'Ecuyer's combined generator (CACM 31, 1988,
# p. 742), of period 2.3e18. Stream S is the block of 2^40 numbers that begins at number S * 2^40 of the one sequence,
# so streams never overlap, which "another starting value" would not promise. All products stay below 2^53, where the
# doubles of awk are exact: every machine computes the same.

# (a * b) mod m, for a and b below 2^31.
function times(a, b, m) {
    return ((int(a / 65536) * b % m) * 65536 + (a % 65536) * b) % m
}

# a^(n * 2^40) mod m.
function leap(a, n, m,    i, product) {
    for (i = 0; i < 40; i++)
        a = times(a, a, m)
    product = 1
    for (i = 0; i < n; i++)
        product = times(product, a, m)
    return product
}

# The next number, between 0 and 1 and neither of them.
function uniform(    z) {
    s1 = 40014 * s1 % m1
    s2 = 40692 * s2 % m2
    z = s1 - s2
    return (z < 1 ? z + m1 - 1 : z) / m1
}

BEGIN {
    m1 = 2147483563
    m2 = 2147483399
    s1 = times(12345, leap(40014, seed, m1), m1)
    s2 = times(67890, leap(40692, seed, m2), m2)
    for (i = 0; i < samples; i++) {
        x = uniform()
        y = uniform()
        if (x * x + y * y < 1)
            inside++
    }
    printf "%d %d %d %.9f\n", samples, seed, inside, 4 * inside / samples
}
