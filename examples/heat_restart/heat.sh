#!/bin/sh
# A rod of length 1 with cold ends cools down: u_t = u_xx, u(0,t) = u(1,t) = 0, u(x,0) = sin(pi x).
# The exact solution is sin(pi x) exp(-pi^2 t).
#
#     heat.sh begin             write the first checkpoint
#     heat.sh run               go on from the checkpoint to the end
#     heat.sh compare FILE      compare the checkpoint FILE with the exact solution
#
# checkpoint.txt holds the number of time steps done, and then the temperatures u at the 41 points of the grid.
set -eu

intervals=40
last=400
chunk=50

# Explicit Euler in time, central differences in space; stable, as dt / dx^2 = 0.4 is below 0.5. So the end is t = 0.1.
grid='
function setup() { pi = atan2(0, -1); dx = 1 / intervals; dt = 0.4 * dx * dx }
function show(step) { print step; for (i = 0; i <= intervals; i++) printf "%.17g\n", u[i] }
'

case ${1-} in
begin)
    awk -v intervals=$intervals "$grid"'
    BEGIN {
        setup()
        for (i = 1; i < intervals; i++)
            u[i] = sin(pi * i * dx)
        u[0] = u[intervals] = 0
        show(0)
    }' >checkpoint.txt
    : >progress.txt
    ;;
run)
    while step=$(head -n 1 checkpoint.txt) && [ "$step" -lt $last ]; do
        sleep 0.5 # stands for the hour that a real code would need
        awk -v intervals=$intervals -v chunk=$chunk "$grid"'
        NR == 1 { step = $1; next }
        { u[NR - 2] = $1 }
        END {
            setup()
            for (k = 1; k <= chunk; k++) {
                left = u[0]
                for (i = 1; i < intervals; i++) {
                    here = u[i]
                    u[i] = here + dt / (dx * dx) * (left - 2 * here + u[i + 1])
                    left = here
                }
            }
            show(step + chunk)
        }' checkpoint.txt >checkpoint.new
        # A rename is all or nothing: whenever we are stopped, checkpoint.txt is a whole one.
        mv checkpoint.new checkpoint.txt
        echo "process $$ did steps $((step + 1)) to $((step + chunk))" | tee -a progress.txt
    done
    ;;
compare)
    awk -v intervals=$intervals "$grid"'
    NR == 1 { setup(); step = $1; t = step * dt; printf "after %d steps, t = %.3f\n\n   x     u        exact\n", step, t; next }
    {
        i = NR - 2
        exact = sin(pi * i * dx) * exp(-pi * pi * t)
        off = $1 > exact ? $1 - exact : exact - $1
        if (off > worst)
            worst = off
        if (i % 5 == 0)
            printf "%.3f  %.5f  %.5f  |%*s\n", i * dx, $1, exact, 1 + 100 * $1, "*"
    }
    END {
        printf "\nlargest error: %.1e (allowed: 1e-03)\n", worst
        exit !(step == '$last' && worst < 1e-3)
    }' "$2"
    ;;
*)
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
