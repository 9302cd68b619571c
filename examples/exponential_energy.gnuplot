# Draws what examples/exponential_energy.cpp wrote:
#   gnuplot -e "folder='build/exponential_energy'" examples/exponential_energy.gnuplot
set terminal pngcairo size 1500,1180 font "Sans,13" background "#ffffff"
set output folder."/exponential_energy.png"
set datafile separator ","
set multiplot layout 2,2 margins 0.065,0.915,0.06,0.95 spacing 0.13,0.12
set tics out nomirror
set palette defined (0 "#f7f4e9", 0.05 "#cfe3c8", 0.15 "#3caea3", 0.3 "#20639b", 0.6 "#173f5f")
set cbrange [0:0.5]
set cblabel "density" offset -1.4,0
set xrange [-2.6:3.2]
set yrange [-2.6:2.6]
set xlabel "bill length, standardised"
set ylabel "bill depth, standardised"
set key top right
set title "density of f = g"
plot folder."/density.csv" using 1:2:3 skip 1 with image notitle, \
     folder."/data.csv" using 1:2 skip 1 with points pointtype 6 pointsize 0.6 linecolor rgb "#ed553b" title "penguins"
set title "density of f = exp(g)"
plot folder."/density.csv" using 1:2:4 skip 1 with image notitle, \
     folder."/data.csv" using 1:2 skip 1 with points pointtype 6 pointsize 0.6 linecolor rgb "#ed553b" title "penguins"

set title "energy along bill depth = 0.6"
set ylabel "f + log Z, that is −log p"
set xrange [-4:4]
set yrange [0:20]
set key top center
plot folder."/slice.csv" using 1:2 skip 1 with lines linewidth 2.5 linecolor rgb "#20639b" title "f = g", \
     folder."/slice.csv" using 1:3 skip 1 with lines linewidth 2.5 linecolor rgb "#ed553b" title "f = exp(g)", \
     folder."/slice.csv" using 1:4 skip 1 with lines linewidth 2.5 dashtype 2 linecolor rgb "#3caea3" title "f = 20 exp(g/20)"

set title "memory: isolated points that became minima"
set xlabel "points to be held"
set ylabel "points held"
set logscale x 2
set xrange [6:80]
set yrange [0:66]
set xtics (8, 16, 32, 64)
set key top left
plot x with lines dashtype 3 linecolor rgb "#888888" title "all", \
     folder."/memory.csv" using 1:2:3 skip 1 with yerrorlines linewidth 2 pointtype 7 linecolor rgb "#20639b" title "f = g", \
     folder."/memory.csv" using 1:4:5 skip 1 with yerrorlines linewidth 2 pointtype 7 linecolor rgb "#ed553b" title "f = exp(g)", \
     folder."/memory.csv" using 1:6:7 skip 1 with yerrorlines linewidth 2 pointtype 7 dashtype 2 linecolor rgb "#3caea3" title "f = 20 exp(g/20)"
unset multiplot
