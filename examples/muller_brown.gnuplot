# Draws what examples/muller_brown.cpp wrote:  gnuplot -e "folder='build/muller_brown'" examples/muller_brown.gnuplot
set terminal pngcairo size 1500,720 font "Sans,13" background "#ffffff"
set output folder."/muller_brown.png"

# Lines of equal potential, and the draws: tables, of which one plot may show several.
set table $contours
set contour base
unset surface
set cntrparam levels incremental -140,20,80
splot folder."/potential.dat" using 1:2:3
unset contour
set surface
set datafile separator ","
set table $hmc
plot folder."/hmc.csv" using 1:2 skip 1 with table
set table $tempering
plot folder."/tempering.csv" using 1:2 skip 1 with table
unset table
set datafile separator whitespace
stats $hmc using ($2 > 1 + 0.5*$1 ? 1 : 0) name "hmc" nooutput
stats $tempering using ($2 > 1 + 0.5*$1 ? 1 : 0) name "tempering" nooutput

set xrange [-1.6:1.3]
set yrange [-0.5:2.1]
set multiplot layout 1,2 margins 0.05,0.985,0.1,0.93 spacing 0.06,0
unset key
set tics out nomirror
set xlabel "x"
set ylabel "y" offset 1,0
set style line 1 linecolor rgb "#999999" linewidth 1
shares(first) = sprintf("above the line through the saddle: %.1f %% of the draws", 100*first)
set style textbox opaque noborder
set arrow from -1.6,0.2 to 1.3,1.65 nohead dashtype 3 linecolor rgb "#444444"
set label 1 shares(hmc_mean) at -1.5,2.0 boxed
set title "hmc: chains seldom leave the basin where they began"
plot $contours using 1:2 with lines linestyle 1, \
     $hmc using 1:2 with points pointtype 7 pointsize 0.3 linecolor rgb "#60ed553b"
set label 1 shares(tempering_mean) at -1.5,2.0 boxed
set title "parallel tempering: chains cross, and the shares are right"
plot $contours using 1:2 with lines linestyle 1, \
     $tempering using 1:2 with points pointtype 7 pointsize 0.3 linecolor rgb "#6020639b"
unset multiplot
