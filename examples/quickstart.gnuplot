# Draws what examples/quickstart.cpp wrote:  gnuplot -e "folder='build/quickstart'" examples/quickstart.gnuplot
set terminal pngcairo size 1500,680 font "Sans,13" background "#ffffff"
set output folder."/quickstart.png"
set datafile separator ","
set multiplot layout 1,2 margins 0.06,0.985,0.11,0.92 spacing 0.14,0
set xlabel "bill length [mm]"
set ylabel "bill depth [mm]"
set tics out nomirror
stats folder."/energy.csv" using 1:2 skip 1 nooutput
set xrange [STATS_min_x:STATS_max_x]
set yrange [STATS_min_y:STATS_max_y]
set cblabel "energy − its minimum" offset 0.3,0
set cbrange [0:10]
set palette defined (0 "#173f5f", 1.2 "#20639b", 3 "#3caea3", 6 "#b5d8bd", 10 "#e6dfc4")

set key bottom left Left reverse opaque fillcolor rgb "#173f5f" textcolor rgb "white" box linecolor rgb "#173f5f" width -4 height 0.4 samplen 2.5
set title "data, learned energy and its score field"
# The arrows show where the score points, not how large it is; they are short only where it all but vanishes.
length = 0.9
shrink(x, y) = length / (0.35 + sqrt(x**2 + y**2))
plot folder."/energy.csv" using 1:2:3 skip 1 with image notitle, \
     folder."/score.csv" using 1:2:(2.2*$3*shrink($3, $4)):(0.8*$4*shrink($3, $4)) skip 1 \
       with vectors head size 0.35,20,60 filled linecolor rgb "#80ffffff" linewidth 1.2 title "score: direction only", \
     folder."/data.csv" using 1:2 skip 1 with points pointtype 7 pointsize 0.75 linecolor rgb "#f6d55c" title "penguins"

unset colorbox
set title "data and samples of the fitted energy (Langevin)"
set key top right Right noreverse opaque fillcolor rgb "white" textcolor rgb "black" nobox width 0 samplen 4
plot folder."/samples.csv" using 1:2 skip 1 with points pointtype 7 pointsize 0.35 linecolor rgb "#b020639b" title "2000 samples", \
     folder."/data.csv" using 1:2 skip 1 with points pointtype 6 pointsize 0.9 linewidth 1.4 linecolor rgb "#ed553b" title "342 penguins"
unset multiplot
